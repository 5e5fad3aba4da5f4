/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An NFS client for the tests: walks a tree by libnfs and prints a line for each entry.
 *
 *	type mode links uid gid size mtime hash path
 *
 * The type is f, d, l or o (others); the hash (FNV-1a, 64 bits) is of a file's bytes or a link's target, and 0 of others. A path
 * is in hexadecimal digits, for names may have any bytes. "write" as second argument tries to write instead, and prints what comes.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <nfsc/libnfs.h>

static uint64_t hash(uint64_t sum, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static const uint64_t seed = UINT64_C(0xcbf29ce484222325);

static void fail(struct nfs_context *nfs, const char *what, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", what, path, nfs_get_error(nfs));
	exit(1);
}

static uint64_t file(struct nfs_context *nfs, const char *path)
{
	static char buffer[1 << 20];
	struct nfsfh *fh;
	uint64_t sum = seed;
	int len;

	if (nfs_open(nfs, path, O_RDONLY, &fh))
		fail(nfs, "open", path);
	while ((len = nfs_read(nfs, fh, sizeof(buffer), buffer)) > 0)
		sum = hash(sum, (unsigned char *)buffer, len);
	if (len < 0)
		fail(nfs, "read", path);
	nfs_close(nfs, fh);
	return sum;
}

static void walk(struct nfs_context *nfs, const char *path)
{
	struct nfsdir *dir;
	struct nfsdirent *entry;

	if (nfs_opendir(nfs, path, &dir))
		fail(nfs, "list", path);
	while ((entry = nfs_readdir(nfs, dir))) {
		struct nfs_stat_64 st;
		char *name, target[4096];
		uint64_t sum = 0;
		char type = 'o';

		if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
			continue;
		if (asprintf(&name, "%s/%s", strcmp(path, "/") ? path : "", entry->name) < 0)
			exit(1);
		if (nfs_lstat64(nfs, name, &st))
			fail(nfs, "stat", name);
		if (S_ISREG(st.nfs_mode)) {
			type = 'f';
			sum = file(nfs, name);
		} else if (S_ISDIR(st.nfs_mode)) {
			type = 'd';
		} else if (S_ISLNK(st.nfs_mode)) {
			type = 'l';
			if (nfs_readlink(nfs, name, target, sizeof(target)))
				fail(nfs, "link", name);
			/* libnfs 4.0 leaves away the NUL behind a target of 4, 8, 12 ... bytes. */
			if (strlen(target) < st.nfs_size)
				fail(nfs, "short link", name);
			sum = hash(seed, (unsigned char *)target, st.nfs_size);
		}
		printf("%c %o %u %u %u %" PRIu64 " %" PRId64 " %" PRIx64 " ", type, (unsigned int)st.nfs_mode & 07777,
		       (unsigned int)st.nfs_nlink, (unsigned int)st.nfs_uid, (unsigned int)st.nfs_gid,
		       st.nfs_size, (int64_t)st.nfs_mtime, sum);
		for (const unsigned char *letter = (unsigned char *)name; *letter; letter++)
			printf("%02x", *letter);
		printf("\n");
		if (type == 'd')
			walk(nfs, name);
		free(name);
	}
	nfs_closedir(nfs, dir);
}

static void say(const char *what, int error)
{
	printf("%s %s\n", what, error ? strerror(-error) : "done");
}

static void change(struct nfs_context *nfs)
{
	struct nfsfh *fh;

	say("create", nfs_creat(nfs, "/new", 0644, &fh));
	say("write", nfs_open(nfs, "/text", O_WRONLY, &fh));
	say("mkdir", nfs_mkdir(nfs, "/folder"));
	say("unlink", nfs_unlink(nfs, "/text"));
	say("rename", nfs_rename(nfs, "/text", "/other"));
	say("truncate", nfs_truncate(nfs, "/text", 1));
	say("chmod", nfs_chmod(nfs, "/text", 0777));
}

int main(int argc, char **argv)
{
	struct nfs_context *nfs = nfs_init_context();
	struct nfs_url *url;

	if (argc < 2 || !nfs)
		return 2;
	url = nfs_parse_url_dir(nfs, argv[1]);
	if (!url)
		fail(nfs, "address", argv[1]);
	if (nfs_mount(nfs, url->server, url->path))
		fail(nfs, "mount", url->path);
	if (argc > 2)
		change(nfs);
	else
		walk(nfs, "/");
	nfs_destroy_url(url);
	nfs_destroy_context(nfs);
	return 0;
}
