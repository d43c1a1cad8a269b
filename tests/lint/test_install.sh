#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `cmake --install` into a fresh folder; then a project of somebody else's finds the library through CMake (shared and static) and through
# pkg-config (both ways), links and runs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$VDISK_BUILD" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }
for path in bin/vdisk include/vdisk/vdisk.h; do
	[ -e "$prefix/$path" ] || { echo "not installed: $path"; find "$prefix" -type f; exit 1; }
done
[ "$(find "$prefix/include" -type f | wc -l)" = 1 ] || { echo "more than one header:"; find "$prefix/include" -type f; exit 1; }
libdir=$(dirname "$(find "$prefix" -name libvdisk.so)")

mkdir "$work/app"
cat >"$work/app/app.c" <<'C'
#include <stdio.h>
#include <string.h>
#include <vdisk/vdisk.h>

int main(int argc, char **argv)
{
	struct vdisk_create_options opts = { .format = "raw", .size = 1 << 20 };
	struct vdisk_open_options open = { .format = "raw", .flags = VDISK_OPEN_RW };
	vdisk_image *img;
	vdisk_error err;
	char word[6] = "";

	if (argc != 2 || vdisk_create(argv[1], &opts, NULL, &err) || vdisk_open(argv[1], &open, &img, &err) ||
	    vdisk_pwrite(img, "hello", 5, 4096, &err) || vdisk_pread(img, word, 5, 4096, &err) || vdisk_close(img, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	printf("%s %s\n", word, vdisk_version());
	return strcmp(word, "hello") != 0;
}
C
cat >"$work/app/CMakeLists.txt" <<'CM'
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
find_package(vdisk 0.1 REQUIRED)
add_executable(app_shared app.c)
target_link_libraries(app_shared PRIVATE vdisk::vdisk_shared)
add_executable(app_static app.c)
target_link_libraries(app_static PRIVATE vdisk::vdisk_static)
CM
{
	cmake -G Ninja -S "$work/app" -B "$work/app/build" -DCMAKE_PREFIX_PATH="$prefix"
	cmake --build "$work/app/build"
} >"$work/app.log" 2>&1 || { cat "$work/app.log"; exit 1; }
for kind in shared static; do
	echo "CMake, $kind: $("$work/app/build/app_$kind" "$work/$kind.raw")"
done

export PKG_CONFIG_PATH=$libdir/pkgconfig
config() { pkg-config --define-variable=prefix="$prefix" "$@" vdisk; }
read -ra cflags < <(config --cflags)
read -ra libs < <(config --libs)
read -ra static_libs < <(config --static --libs | sed 's/-lvdisk\b//')
cc -std=c99 "${cflags[@]}" "$work/app/app.c" -o "$work/pc_shared" "${libs[@]}"
echo "pkg-config, shared: $(LD_LIBRARY_PATH=$libdir "$work/pc_shared" "$work/pc_shared.raw")"
cc -std=c99 "${cflags[@]}" "$work/app/app.c" -o "$work/pc_static" "$libdir/libvdisk.a" "${static_libs[@]}"
echo "pkg-config, static: $("$work/pc_static" "$work/pc_static.raw")"
"$prefix/bin/vdisk" --version
