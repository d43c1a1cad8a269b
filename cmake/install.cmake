# SPDX-License-Identifier: LGPL-2.1-or-later
# What `cmake --install` puts where: the library both ways, its one header, pkg-config and CMake files, programs, manual, completion.
install(TARGETS vdisk_shared vdisk_static EXPORT vdiskTargets)
install(TARGETS vdisk)
install(FILES libvdisk/include/vdisk/vdisk.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vdisk)

configure_file(cmake/vdisk.pc.in vdisk.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vdisk.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vdisk)
configure_package_config_file(cmake/vdiskConfig.cmake.in vdiskConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(vdiskConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vdiskConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/vdiskConfigVersion.cmake DESTINATION ${package_dir})
install(EXPORT vdiskTargets NAMESPACE vdisk:: DESTINATION ${package_dir})

foreach(section 1 3 5 7)
	file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
	if(pages)
		install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
	endif()
endforeach()

# The completion script comes from the program's own option table.
add_custom_command(TARGET vdisk POST_BUILD COMMAND vdisk --completion bash > ${CMAKE_CURRENT_BINARY_DIR}/vdisk.bash VERBATIM)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vdisk.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME vdisk)
