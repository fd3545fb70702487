# What the toolchain files share. EDGELLM_SYSROOT: a folder with the libraries of the other machine
# (scripts/sysroot.sh), for programs; without it there are those of the cross compiler, which is
# libc alone and enough for the library.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES EDGELLM_SYSROOT)
if(EDGELLM_SYSROOT)
  get_filename_component(CMAKE_SYSROOT "${EDGELLM_SYSROOT}" ABSOLUTE)
  string(REGEX REPLACE "-gcc$" "" triple "${CMAKE_C_COMPILER}")
  # Nothing of this machine's is found, whatever it has installed.
  set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
  set(ENV{PKG_CONFIG_LIBDIR}
      "${CMAKE_SYSROOT}/usr/lib/${triple}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig")
  # A cross compiler brings a libc of its own, which may be an older one than the other libraries need:
  # for what is linked with those. Static programs take the compiler's.
  set(EDGELLM_SHARED_LINK -B${CMAKE_SYSROOT}/usr/lib/${triple} -L${CMAKE_SYSROOT}/usr/lib/${triple}
      -L${CMAKE_SYSROOT}/lib/${triple})
  # What starts a program that was linked so, here: an emulator, or, for the same kind of machine, the
  # other's own loader.
  if(EMULATOR)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${EMULATOR} -L ${CMAKE_SYSROOT})
  else()
    set(CMAKE_CROSSCOMPILING_EMULATOR ${CMAKE_SYSROOT}/lib/${triple}/ld-linux-x86-64.so.2
        --library-path ${CMAKE_SYSROOT}/lib/${triple}:${CMAKE_SYSROOT}/usr/lib/${triple})
  endif()
  set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
  foreach(kind LIBRARY INCLUDE PACKAGE)
    set(CMAKE_FIND_ROOT_PATH_MODE_${kind} ONLY)
  endforeach()
endif()
