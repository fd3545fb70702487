# The vector level of RISC-V. Its source is C with vectors of fixed size, so it needs a compiler that
# puts these on V, whatever the length of the registers: Clang, from 19 on. If that is not what
# compiles the rest, a launcher gives its files to it. Without it (or with
# -DEDGELLM_RVV_COMPILER=) the level is left out; `edgellm info` says so.
set(rvv_launcher)
if(CMAKE_C_COMPILER_ID MATCHES Clang AND CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 19)
  set(EDGELLM_RVV_COMPILER ${CMAKE_C_COMPILER})
else()
  find_program(EDGELLM_RVV_COMPILER NAMES clang-21 clang-20 clang-19
               DOC "Clang for the vector level of RISC-V")
  execute_process(COMMAND ${CMAKE_C_COMPILER} -dumpmachine OUTPUT_VARIABLE rvv_target
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(rvv_launcher ${CMAKE_CURRENT_LIST_DIR}/rvv_compiler.sh ${EDGELLM_RVV_COMPILER}
                   --target=${rvv_target})
endif()
# Instrumented objects of two compilers do not go together.
if(EDGELLM_RVV_COMPILER AND NOT EDGELLM_SANITIZE AND NOT EDGELLM_COVERAGE)
  target_compile_definitions(edgellm_flags INTERFACE EL_RVV)
  set_target_properties(el_kernel PROPERTIES C_COMPILER_LAUNCHER "${rvv_launcher}")
  # Linux lets words be read from any address; if Clang is not told, it reads them byte by byte.
  el_kernel_level(riscv rvv -march=rv64gcv -Xclang -target-feature -Xclang +unaligned-scalar-mem)
else()
  message(STATUS "RISC-V: built without V; the vector kernels need clang-19 or later")
endif()
