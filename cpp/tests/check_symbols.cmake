# SPDX-License-Identifier: MIT
# Kernel files are compiled for one instruction set each: they may define no function that other files could be linked
# against (T) and none that the linker merges with other files' (W).
string(REPLACE "|" ";" objects "${OBJECTS}")
list(FILTER objects INCLUDE REGEX "kernels_[a-z0-9]+\\.cpp")
list(LENGTH objects count)
if(NOT count EQUAL 5)
  message(FATAL_ERROR "expected 5 kernel files, got ${count}: ${objects}")
endif()
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} -C ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9a-f]+ [TW] [^\n]*" exported "${symbols}")
  if(exported)
    message(FATAL_ERROR "${object} exports ${exported}")
  endif()
  if(NOT symbols MATCHES " [A-Z] _?semcbir::kernels_[a-z0-9]+")
    message(FATAL_ERROR "${object} has no kernel table: ${symbols}")
  endif()
endforeach()
