# Tests in Python, standard library only: the house rules, and the program from outside.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_test(NAME includes COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/test_includes.py
                               ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
set_tests_properties(includes PROPERTIES TIMEOUT 120)

add_test(NAME header COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/test_header.py
                             ${PROJECT_SOURCE_DIR}/include/edgellm.h ${CMAKE_C_COMPILER})
if(NOT EDGELLM_SANITIZE) # sanitizers add symbols and libraries of their own
  add_test(NAME symbols COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/test_symbols.py
                                ${PROJECT_SOURCE_DIR} $<TARGET_FILE:edgellm_shared>
                                $<TARGET_FILE:edgellm_static> ${PROJECT_VERSION})
endif()

if(EDGELLM_CLI)
  if(EDGELLM_SANITIZE)
    set(sanitized sanitized)
  endif()
  add_executable(make_tiny make_tiny.c $<TARGET_OBJECTS:el_test_support> $<TARGET_OBJECTS:el_base>)
  target_link_libraries(make_tiny PRIVATE edgellm_flags Threads::Threads)
  target_include_directories(make_tiny PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  add_test(NAME cli COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/test_cli.py
                            $<TARGET_FILE:edgellm> $<TARGET_FILE:make_tiny>
                            ${CMAKE_CURRENT_BINARY_DIR}/cli
                            ${sanitized})
  # Installed from here, used from outside: examples/.
  add_test(NAME install COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/test_install.py
                                ${PROJECT_BINARY_DIR} ${CMAKE_COMMAND} ${CMAKE_C_COMPILER}
                                $<TARGET_FILE:make_tiny> ${CMAKE_CURRENT_BINARY_DIR}/install
                                ${EDGELLM_SANITIZE})
  set_tests_properties(cli install PROPERTIES TIMEOUT 240)
endif()
