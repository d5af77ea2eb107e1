# protobuf and gRPC of the system. ziprl_protobuf(NAME MESSAGES a.proto ... SERVICES b.proto ...): a library
# of the code generated from the .proto files (paths from the repository's root) into build/gen, where it is
# included as "proto/a.pb.h" and, for services, "proto/b.grpc.pb.h". Compiled without our warnings.
pkg_check_modules(PROTOBUF REQUIRED IMPORTED_TARGET protobuf)
pkg_check_modules(GRPCPP REQUIRED IMPORTED_TARGET grpc++)
find_library(ZIPRL_GRPC_REFLECTION grpc++_reflection REQUIRED)
find_program(ZIPRL_PROTOC protoc REQUIRED PATHS /usr/bin NO_DEFAULT_PATH)
find_program(ZIPRL_GRPC_PLUGIN grpc_cpp_plugin REQUIRED PATHS /usr/bin NO_DEFAULT_PATH)

function(ziprl_protobuf name)
  cmake_parse_arguments(A "" "" "MESSAGES;SERVICES" ${ARGN})
  set(gen ${CMAKE_BINARY_DIR}/gen)
  file(MAKE_DIRECTORY ${gen})
  set(all_protos ${A_MESSAGES} ${A_SERVICES})
  list(TRANSFORM all_protos PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE inputs)
  set(outputs)
  foreach(proto ${all_protos})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(made ${gen}/${stem}.pb.cc ${gen}/${stem}.pb.h)
    set(plugin)
    if(proto IN_LIST A_SERVICES)
      list(APPEND made ${gen}/${stem}.grpc.pb.cc ${gen}/${stem}.grpc.pb.h)
      set(plugin --grpc_out=${gen} --plugin=protoc-gen-grpc=${ZIPRL_GRPC_PLUGIN})
    endif()
    add_custom_command(OUTPUT ${made} DEPENDS ${inputs} VERBATIM
                       COMMAND ${ZIPRL_PROTOC} -I ${CMAKE_SOURCE_DIR} --cpp_out=${gen} ${plugin}
                               ${CMAKE_SOURCE_DIR}/${proto})
    list(APPEND outputs ${made})
  endforeach()
  add_library(${name} STATIC ${outputs})
  target_include_directories(${name} SYSTEM PUBLIC ${gen})
  target_compile_options(${name} PRIVATE -w -g0)
  target_link_libraries(${name} PUBLIC PkgConfig::PROTOBUF PkgConfig::GRPCPP)
endfunction()
