# cmake --install, and cpack for a Debian package.
if(NOT TARGET vmdeck)
  return()
endif()
install(TARGETS vmdeck RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(section 1 5 7)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/HACKING.md ${CMAKE_SOURCE_DIR}/LICENSE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME vmdeck)
set(CPACK_PACKAGE_CONTACT "The vmdeck developers <vmdeck@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # the libraries; below are programs that are run and what is loaded late
set(CPACK_DEBIAN_PACKAGE_DEPENDS "qemu-system-x86 (>= 1:7.2), mmdebstrap, uidmap, libarchive13 | libarchive13t64, libext2fs2 | libext2fs2t64, libidn2-0")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
include(CPack)
