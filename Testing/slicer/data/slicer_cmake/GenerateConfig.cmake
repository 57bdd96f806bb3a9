# What Slicer writes about an extension, here as lines that the test reads.
if(NOT "${EXTENSION_NAME}" STREQUAL "" AND NOT "${EXTENSION_NAME}" STREQUAL "${PROJECT_NAME}")
  message(FATAL_ERROR "EXTENSION_NAME differs from the name of the project")
endif()
file(WRITE "${CMAKE_BINARY_DIR}/${PROJECT_NAME}.txt"
"homepage ${EXTENSION_HOMEPAGE}
category ${EXTENSION_CATEGORY}
contributors ${EXTENSION_CONTRIBUTORS}
description ${EXTENSION_DESCRIPTION}
iconurl ${EXTENSION_ICONURL}
screenshoturls ${EXTENSION_SCREENSHOTURLS}
depends ${EXTENSION_DEPENDS}
")
