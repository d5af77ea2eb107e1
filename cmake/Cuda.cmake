# ZIPRL_HAVE_CUDA: ON when the CUDA language is enabled, by ZIPRL_CUDA and whether nvcc is found (PATH,
# CUDAToolkit_ROOT or the toolkit's usual place). No device is needed to build.
# Architectures: TORCH_CUDA_ARCH_LIST from the environment ("8.0;9.0"), else sm_80, sm_90 and sm_100.
set(ZIPRL_HAVE_CUDA OFF)
if(ZIPRL_CUDA STREQUAL "OFF")
  return()
endif()

find_program(ZIPRL_NVCC nvcc HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT
             PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT ZIPRL_NVCC)
  if(ZIPRL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ZIPRL_CUDA=ON, but there is no nvcc on PATH or under CUDAToolkit_ROOT="
                        "'$ENV{CUDAToolkit_ROOT}'; install the toolkit, or pass -DZIPRL_CUDA=OFF")
  endif()
  message(STATUS "CUDA: no nvcc found, building the CPU backend only")
  return()
endif()

if(DEFINED ENV{TORCH_CUDA_ARCH_LIST} AND NOT CMAKE_CUDA_ARCHITECTURES)
  string(REGEX REPLACE "[ ;]+" ";" archs "$ENV{TORCH_CUDA_ARCH_LIST}")
  string(REPLACE "." "" archs "${archs}")
  string(REPLACE "+PTX" "" archs "${archs}")
  set(CMAKE_CUDA_ARCHITECTURES ${archs})
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real)
endif()
set(CMAKE_CUDA_COMPILER ${ZIPRL_NVCC})
# nvcc 13 takes C++17 from CMake 3.25, which does not know its C++20.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
set(ZIPRL_HAVE_CUDA ON)
message(STATUS "CUDA: ${ZIPRL_NVCC}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
