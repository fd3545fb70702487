# What `make install` puts where: the program, both libraries, the header, the licence.
install(TARGETS edgellm_static edgellm_shared
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/edgellm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(EDGELLM_CLI)
  install(TARGETS edgellm RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
