# What `cmake --install` (and `make install`) puts where: the programs, both libraries, the header,
# how pkg-config and find_package() find them, the documents. Nothing holds the prefix, so that the
# whole can be moved.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/edgellm)

install(TARGETS edgellm_static edgellm_shared EXPORT edgellm
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/edgellm.h ${PROJECT_SOURCE_DIR}/include/edgellm.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(EDGELLM_CLI) # linked with the static library: it runs wherever it is put
  install(TARGETS edgellm RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(program edgellm-quantize edgellm-serve edgellm-batch edgellm-bench-http edgellm-pull) # `edgellm` finds them from where it lies itself
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${EDGELLM_LIBEXECDIR})
  endif()
endforeach()

if(TARGET edgellm-core) # instead of all else: cmake --install BUILD --component core
  install(TARGETS edgellm-core RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT core
          EXCLUDE_FROM_ALL)
endif()

if(TARGET manual)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/manual/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  foreach(place bash/bash-completion/completions zsh/zsh/site-functions fish/fish/vendor_completions.d)
    string(REGEX MATCH "^([a-z]+)/(.*)$" place "${place}")
    install(DIRECTORY ${PROJECT_BINARY_DIR}/manual/${CMAKE_MATCH_1}/
            DESTINATION ${CMAKE_INSTALL_DATADIR}/${CMAKE_MATCH_2})
  endforeach()
endif()

# pkg-config: the prefix is found from where the file lies, unless a directory is absolute.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
  set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
  set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
  file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${pc_prefix}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/edgellm.pc.in ${PROJECT_BINARY_DIR}/edgellm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/edgellm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# find_package(edgellm CONFIG): a version is compatible as far as its soname is.
set_target_properties(edgellm_shared PROPERTIES EXPORT_NAME edgellm)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatible SameMinorVersion)
else()
  set(compatible SameMajorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/edgellm-config-version.cmake
                                 COMPATIBILITY ${compatible})
install(EXPORT edgellm NAMESPACE edgellm:: FILE edgellm-targets.cmake DESTINATION ${package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/cmake/edgellm-config.cmake
              ${PROJECT_BINARY_DIR}/edgellm-config-version.cmake DESTINATION ${package_dir})

file(GLOB documents ${PROJECT_SOURCE_DIR}/docs/*.md ${PROJECT_SOURCE_DIR}/docs/*.yaml)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md
              ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/pictures ${PROJECT_SOURCE_DIR}/docs/boards
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
file(GLOB examples ${PROJECT_SOURCE_DIR}/examples/*.c ${PROJECT_SOURCE_DIR}/examples/*.cpp
                   ${PROJECT_SOURCE_DIR}/examples/*.py ${PROJECT_SOURCE_DIR}/examples/*.html
                   ${PROJECT_SOURCE_DIR}/examples/*.json
                   ${PROJECT_SOURCE_DIR}/examples/*.md)
install(FILES ${examples} ${PROJECT_SOURCE_DIR}/examples/Makefile
              ${PROJECT_SOURCE_DIR}/examples/CMakeLists.txt
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/shapes
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
