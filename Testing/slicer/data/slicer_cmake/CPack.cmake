# Slicer packs the installed files here; the test looks at them where they were installed.
if(NOT EXISTS "${CMAKE_BINARY_DIR}/${PROJECT_NAME}.txt")
  message(FATAL_ERROR "Slicer_EXTENSION_CPACK is included before Slicer_EXTENSION_GENERATE_CONFIG")
endif()
