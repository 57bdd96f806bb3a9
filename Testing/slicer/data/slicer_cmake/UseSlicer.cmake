# Stand-ins of the macros that modules call.

foreach(variable HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if(NOT EXTENSION_${variable})
    message(FATAL_ERROR "EXTENSION_${variable} is not set before find_package(Slicer)")
  endif()
endforeach()

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(_module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(_module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule does not know ${_module_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT _module_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule needs a NAME")
  endif()

  set(_subdir "")
  if(_module_WITH_SUBDIR)
    get_filename_component(_subdir "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    set(_subdir "/${_subdir}")
  endif()
  set(_destination "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}${_subdir}")

  set(_copied)
  foreach(_file IN LISTS _module_SCRIPTS _module_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule is given ${_file}, which does not exist")
    endif()
    add_custom_command(
      OUTPUT "${_destination}/${_file}"
      COMMAND "${CMAKE_COMMAND}" -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${_file}" "${_destination}/${_file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${_file}"
      )
    list(APPEND _copied "${_destination}/${_file}")
  endforeach()
  add_custom_target(Copy${_module_NAME} ALL DEPENDS ${_copied})

  # Slicer installs the folder of the build tree: as it is, or with its name for WITH_SUBDIR.
  if(_module_WITH_SUBDIR)
    install(DIRECTORY "${_destination}" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}")
  else()
    install(DIRECTORY "${_destination}/" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}")
  endif()

  if(BUILD_TESTING AND _module_WITH_GENERIC_TESTS)
    add_test(NAME "generic_${_module_NAME}" COMMAND "${CMAKE_COMMAND}" -E true)
  endif()
endmacro()

macro(slicer_add_python_unittest)
  cmake_parse_arguments(_unittest "" "SCRIPT" "SLICER_ARGS;TESTNAME_PREFIX" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_unittest_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest is given ${_unittest_SCRIPT}, which does not exist")
  endif()
  add_test(NAME "py_${_unittest_SCRIPT}" COMMAND "${CMAKE_COMMAND}" -E true)
endmacro()

include(CTest)
