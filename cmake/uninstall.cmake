# Removes the files of an install manifest, then the directories that are our own and empty now.
#   DESTDIR=... cmake -P cmake/uninstall.cmake MANIFEST
set(manifest "${CMAKE_ARGV3}")
if(NOT EXISTS "${manifest}")
  message(FATAL_ERROR "${manifest} is not there: nothing was installed from this tree")
endif()
file(STRINGS "${manifest}" files)
set(directories)
foreach(file IN LISTS files)
  message(STATUS "Removing $ENV{DESTDIR}${file}")
  file(REMOVE "$ENV{DESTDIR}${file}")
  get_filename_component(directory "${file}" DIRECTORY)
  while(directory MATCHES "/edgellm(/|$)") # lib/cmake/edgellm, share/doc/edgellm and below
    list(APPEND directories "$ENV{DESTDIR}${directory}")
    get_filename_component(directory "${directory}" DIRECTORY)
  endwhile()
endforeach()
list(REMOVE_DUPLICATES directories)
list(SORT directories ORDER DESCENDING) # the inner ones first
foreach(directory IN LISTS directories)
  execute_process(COMMAND rmdir "${directory}" ERROR_QUIET) # stays if others have files there
endforeach()
