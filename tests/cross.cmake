# Cross-compiled: only the tests of the kernels, which tools/test_isa.sh runs under an emulator. They
# need no library of the target, not even its cmocka (support/cross/cmocka.h).
foreach(test kernels matmul)
  add_executable(test_${test} test_${test}.c $<TARGET_OBJECTS:el_base> $<TARGET_OBJECTS:el_cpu>
                              $<TARGET_OBJECTS:el_kernel>)
  target_link_libraries(test_${test} PRIVATE edgellm_flags Threads::Threads m)
  target_link_options(test_${test} PRIVATE -static)
  target_include_directories(test_${test} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
                                                  ${CMAKE_CURRENT_SOURCE_DIR}/support/cross)
endforeach()
# At -O3 compilers take seconds more than emulators then save.
target_compile_options(test_kernels PRIVATE -O2)
