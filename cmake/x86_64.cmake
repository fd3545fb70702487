# For x86-64 with the distribution's compiler, against libraries that are not this machine's: what
# `make dist` builds does not depend on what is installed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-linux-gnu-gcc)
include(${CMAKE_CURRENT_LIST_DIR}/sysroot.cmake)
