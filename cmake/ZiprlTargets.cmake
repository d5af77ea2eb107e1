# ziprl_library(NAME SOURCES a.cc ... [DEPS target ...] [TORCH]): one library, warnings as errors.
# TORCH: the sources include ATen; torch stays a private dependency and the shared PCH is used. Such a
# target does not exist in a build with ZIPRL_TORCH=OFF, so torch-free targets must not depend on it.
# ziprl_test(NAME SOURCES ... [DEPS ...] [TORCH] [THREADED] [TIMEOUT seconds]): one GoogleTest program, its
# cases registered with ctest. THREADED: the test starts threads and runs under ThreadSanitizer too.
include(GoogleTest)
add_custom_target(threaded_tests)

set(ZIPRL_WARNINGS -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(APPEND ZIPRL_WARNINGS -Wthread-safety)
endif()

function(ziprl_target_setup name torch)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:C,CXX>:${ZIPRL_WARNINGS}>")
  if(torch)
    target_link_libraries(${name} PRIVATE ziprl_torch)
    if(TARGET ziprl_torch_pch)
      target_precompile_headers(${name} REUSE_FROM ziprl_torch_pch)
      target_link_libraries(${name} PRIVATE ziprl_torch_pch)
    endif()
  endif()
endfunction()

function(ziprl_library name)
  cmake_parse_arguments(A "TORCH" "" "SOURCES;DEPS" ${ARGN})
  if(A_TORCH AND NOT ZIPRL_TORCH)
    return()
  endif()
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ${A_DEPS})
  ziprl_target_setup(${name} "${A_TORCH}")
endfunction()

function(ziprl_test name)
  cmake_parse_arguments(A "TORCH;THREADED" "TIMEOUT;FIXTURE" "SOURCES;DEPS" ${ARGN})
  if(A_TORCH AND NOT ZIPRL_TORCH)
    return()
  endif()
  add_executable(${name} ${A_SOURCES})
  # As the libraries: a precompiled header serves only one kind of position-independent code.
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE -fPIC)
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gmock_main)
  ziprl_target_setup(${name} "${A_TORCH}")
  if(NOT A_TORCH)
    target_precompile_headers(${name} REUSE_FROM ziprl_test_pch)
  endif()
  if(A_THREADED)
    add_dependencies(threaded_tests ${name})
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  if(A_FIXTURE)
    set(fixture FIXTURES_REQUIRED ${A_FIXTURE})
  endif()
  # Listing the tests loads torch: from a cold disk, more than CMake's default of 5 s.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 300
                       WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                       PROPERTIES TIMEOUT ${A_TIMEOUT} ENVIRONMENT "OMP_WAIT_POLICY=passive" ${fixture})
endfunction()

file(WRITE ${CMAKE_BINARY_DIR}/pch.cc "// carrier of the precompiled header\n")
# One precompiled GoogleTest for every torch-free test.
add_library(ziprl_test_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
target_link_libraries(ziprl_test_pch PRIVATE GTest::gmock absl::statusor)
target_compile_options(ziprl_test_pch PRIVATE "$<$<COMPILE_LANGUAGE:C,CXX>:${ZIPRL_WARNINGS}>")
target_precompile_headers(ziprl_test_pch PRIVATE <gmock/gmock.h> <gtest/gtest.h> <absl/status/statusor.h>
                          <map> <string> <vector>)

if(ZIPRL_TORCH)
  # One precompiled ATen for every torch file (7 s a file without it).
  add_library(ziprl_torch_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
  target_link_libraries(ziprl_torch_pch PRIVATE ziprl_torch)
  target_compile_options(ziprl_torch_pch PRIVATE ${ZIPRL_WARNINGS})
  target_precompile_headers(ziprl_torch_pch PRIVATE <ATen/ATen.h> <torch/csrc/autograd/custom_function.h>
                            <torch/csrc/autograd/autograd.h> <string> <vector> <map>)
endif()
