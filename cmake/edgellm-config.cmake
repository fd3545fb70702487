# find_package(edgellm CONFIG) gives the targets edgellm::edgellm (shared) and
# edgellm::edgellm_static.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include("${CMAKE_CURRENT_LIST_DIR}/edgellm-targets.cmake")
