/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What only a running Windows can do: installing the packages that were laid down, and giving the new adapters the old ones'
 * addresses.  A script in %SystemRoot%\vdisk does it (below the system's folder, where plain users may not write), started once by
 * a service of ours as LocalSystem.  Where the user has rhsrvany, it is that service.  Else the service is cmd.exe, which starts
 * the script on its own and ends: the service manager notes that it never answered, and the script runs on.  That works from
 * Windows 7 to 11 and on servers where nobody logs on (RunOnce waits for that), and does not stand between the machine and its
 * services as SetupType with CmdLine would.
 */
#include "edit.h"
#include "common/fail.h"
#include "windows_read.h"
#include "winpath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "vdisk-firstboot"
#define HERE "vdisk"
#define TOOL_MAX (16u << 20)

/* ---------------------------------------------------------------- the script */

static void line(struct bytes *out, const char *text)
{
	bytes_text(out, text);
	bytes_text(out, "\r\n");
}

static void script_write(struct windows_edit *e, bool network, struct bytes *out)
{
	line(out, "@echo off");
	line(out, "rem Written by vdisk adapt.  Runs once, at the first boot on the new machine; firstboot.log says what it did.");
	line(out, "setlocal");
	line(out, "set here=%SystemRoot%\\" HERE);
	line(out, "call :main >>\"%here%\\firstboot.log\" 2>&1");
	line(out, "exit /b");
	line(out, "");
	line(out, ":main");
	line(out, "echo %DATE% %TIME% first boot");
	/* What came in from outside belongs to everybody: it gets the rights that its folder gives. */
	line(out, "icacls \"%here%\" /reset /t /c /q");
	for (size_t i = 0; i < e->staged.len; i += strlen(e->staged.at + i) + 1)
		bytes_format(out, "icacls \"%s\" /reset /c /q\r\n", e->staged.at + i);
	if (e->packages) {
		line(out, "icacls \"%SystemRoot%\\Drivers\" /reset /t /c /q");
		line(out, "for %%i in (\"" WINDOWS_STAGE_SAYS "\\*.inf\") do (");
		line(out, "  echo installing %%~nxi");
		line(out, "  \"%SystemRoot%\\System32\\pnputil.exe\" -i -a \"%%i\"");
		line(out, ")");
	}
	if (network) {
		line(out, "if exist \"%SystemRoot%\\System32\\WindowsPowerShell\\v1.0\\powershell.exe\" (");
		line(out,
		     "  \"%SystemRoot%\\System32\\WindowsPowerShell\\v1.0\\powershell.exe\" -NoProfile -NonInteractive -ExecutionPolicy Bypass "
		     "-File \"%here%\\network.ps1\"");
		line(out, ") else (");
		line(out, "  echo no PowerShell: the addresses in network.ps1 are not set");
		line(out, ")");
	}
	line(out, "\"%SystemRoot%\\System32\\sc.exe\" delete " SERVICE);
	line(out, "echo %DATE% %TIME% done");
	line(out, "exit /b");
}

/* ---------------------------------------------------------------- its service */

static int service_set(struct windows_edit *e, unsigned set, bool tool, vdisk_error *err)
{
	static const char starts[] = "%SystemRoot%\\System32\\cmd.exe /c start \"vdisk\" /min %SystemRoot%\\System32\\cmd.exe /c "
	                             "%SystemRoot%\\" HERE "\\firstboot.cmd";
	static const char runs[] = "%SystemRoot%\\" HERE "\\rhsrvany.exe -s " SERVICE;
	static const char command[] = "cmd.exe /c \"%SystemRoot%\\" HERE "\\firstboot.cmd\"";
	char path[WINDOWS_KEY_MAX];

	windows_key(path, set, "Services", SERVICE);
	if (hive_set_number(&e->system, path, "Type", 0x10, err) || hive_set_number(&e->system, path, "Start", 2, err) ||
	    hive_set_number(&e->system, path, "ErrorControl", 0, err) ||
	    hive_set_text(&e->system, path, "ImagePath", HIVE_EXPAND_SZ, tool ? runs : starts, err) ||
	    hive_set_text(&e->system, path, "DisplayName", HIVE_SZ, "vdisk first boot", err) ||
	    hive_set_text(&e->system, path, "ObjectName", HIVE_SZ, "LocalSystem", err))
		return -1;
	if (!tool)
		return 0;
	windows_key(path, set, "Services", SERVICE "\\Parameters");
	return hive_set_text(&e->system, path, "CommandLine", HIVE_EXPAND_SZ, command, err) ||
	       hive_set_text(&e->system, path, "PWD", HIVE_EXPAND_SZ, "%SystemRoot%\\" HERE, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- files */

static int file_put(struct windows_edit *e, const char *name, const struct bytes *content, bool binary, vdisk_error *err)
{
	static const char why[] = "the first boot installs drivers and sets addresses";
	char below[64], *path;
	int rc;

	snprintf(below, sizeof(below), HERE "/%s", name);
	path = content->failed ? NULL : windows_path(e, below, err);
	if (!path)
		return content->failed ? fail_nomem(err) : -1;
	rc = binary ? plan_write_binary(e->plan, path, content->at, content->len, 0644, NULL, err, "%s", why)
	            : plan_write(e->plan, path, content->at, content->len, 0644, err, "%s", why);
	free(path);
	return rc;
}

static int tool_put(struct windows_edit *e, vdisk_error *err)
{
	const char *from = e->o->service_tool;
	FILE *f = fopen(from, "rbe");
	struct bytes content = { 0 };
	char part[65536];
	size_t n;
	int rc = 0;

	if (!f)
		return fail_errno(err, "%s", from);
	while (!rc && (n = fread(part, 1, sizeof(part), f)) > 0) {
		bytes_add(&content, part, n);
		if (content.len > TOOL_MAX)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: has more than %u bytes", from, TOOL_MAX);
	}
	if (!rc && ferror(f))
		rc = fail_errno(err, "%s", from);
	fclose(f);
	if (!rc && (content.len < 2 || memcmp(content.at, "MZ", 2)))
		rc = fail(err, VDISK_INVALID, "%s: is no program of Windows", from);
	if (!rc)
		rc = file_put(e, "rhsrvany.exe", &content, true, err);
	bytes_destroy(&content);
	return rc;
}

int windows_firstboot(struct windows_edit *e, vdisk_error *err)
{
	struct bytes script = { 0 }, network = { 0 };
	bool six, addresses = windows_network_script(e->w, &network, &six);
	int rc = 0;

	if (addresses || e->packages) {
		script_write(e, addresses, &script);
		rc = file_put(e, "firstboot.cmd", &script, false, err);
		if (!rc && addresses)
			rc = file_put(e, "network.ps1", &network, false, err);
		if (!rc && e->o->service_tool)
			rc = tool_put(e, err);
		for (size_t s = 0; s < e->w->sets_n && !rc; s++)
			rc = service_set(e, e->w->sets[s], e->o->service_tool != NULL, err);
		if (!rc)
			plan_remark(e->plan, "a script finishes the work at the first boot, a minute or two after it; "
			            "%%SystemRoot%%\\" HERE "\\firstboot.log tells what it did");
		if (six)
			plan_remark(
				e->plan,
				"IPv6 addresses go to the new adapters; a gateway of theirs that no router announces has to be set again "
				"(netsh interface ipv6 add route ::/0)");
	}
	bytes_destroy(&script);
	bytes_destroy(&network);
	return rc;
}

/* ---------------------------------------------------------------- UEFI */

/* Only the old machine's NVRAM knows where Windows' loader is; another one looks for the fallback. */
int windows_loader(struct windows_edit *e, vdisk_error *err)
{
	static const char *const names[][2] = { { "x86_64", "bootx64.efi" },
		                                { "i686", "bootia32.efi" },
		                                { "aarch64", "bootaa64.efi" } };
	struct bytes from = { 0 }, to = { 0 }, content = { 0 };
	char *loader = NULL, *fallback = NULL;
	int rc = 0;

	if (!e->facts->esp || !*e->facts->esp)
		return 0;
	bytes_format(&from, "%s/EFI/Microsoft/Boot/bootmgfw.efi", e->facts->esp);
	for (size_t i = 0; i < 3; i++) {
		if (!strcmp(names[i][0], e->w->arch))
			bytes_format(&to, "%s/EFI/Boot/%s", e->facts->esp, names[i][1]);
	}
	if (from.failed || to.failed)
		rc = fail_nomem(err);
	else if (to.len)
		rc = win_path(&e->plan->view, from.at, &loader, err);
	if (rc > 0 && (rc = win_path(&e->plan->view, to.at, &fallback, err)) > 0)
		rc = 0; /* there is one: Windows' own, or what somebody chose */
	else if (!rc && fallback)
		rc = e->plan->view.ops->read(&e->plan->view, loader, TOOL_MAX, &content, err);
	if (rc > 0)
		rc = content.failed
		             ? fail_nomem(err)
		             : plan_write_binary(
				       e->plan, fallback, content.at, content.len, 0644, NULL, err,
				       "UEFI's fallback loader, on the EFI system partition: another machine's firmware does not know where Windows' own is");
	free(loader);
	free(fallback);
	bytes_destroy(&from);
	bytes_destroy(&to);
	bytes_destroy(&content);
	return rc;
}
