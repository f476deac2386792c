/* apk-standin: what stands in for Alpine's static apk in tests: installs a root of the host's static busybox that calls
 * itself Alpine, after looking at what it was told as apk would. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const folders[] = {
    "bin",
    "sbin",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/share",
    "usr/share/udhcpc",
    "etc",
    "etc/init.d",
    "etc/runlevels",
    "etc/apk",
    "dev",
    "proc",
    "sys",
    "etc/runlevels/boot",
    "run",
    "root",
    "tmp",
    "var",
    "var/log",
    "lib",
    "lib/apk",
    "lib/apk/db",
    "home",
    "etc/network",
    "etc/apk/keys",
    "etc/runlevels/default",
};

struct file {
    const char *path;
    mode_t mode;
    const char *content;
};

static const struct file files[] = {
    {"etc/os-release",                  0644,
     "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.22.0\nPRETTY_NAME=\"Alpine Linux v3.22\"\n"                            },
    {"etc/passwd",                      0644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"},
    {"etc/group",                       0644, "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"                                     },
    {"etc/shadow",                      0600, "root:*:::::::\nnobody:*:::::::\n"                                            },
    {"sbin/openrc",                     0755,
     "#!/bin/sh\n"
     "# openrc LEVEL\n"
     "echo \"$1\" >>/run/levels\n"
     "[ \"$1\" = boot ] || exit 0\n"
     "hostname -F /etc/hostname\n"
     "ip link set lo up\n"
     "[ ! -e /sys/class/net/eth0 ] || ip link set eth0 up && udhcpc -i eth0 -b -S -s "
     "/usr/share/udhcpc/default.script\n"                                                                                   },
    {"usr/share/udhcpc/default.script", 0755,
     "#!/bin/sh\n"
     "case \"$1\" in\n"
     "bound | renew) ip addr flush dev \"$interface\"; ip addr add \"$ip/${mask:-24}\" dev \"$interface\" ;;\n"
     "esac\n"                                                                                                               },
};

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "ERROR: %s %s: %s\n", what, name, errno ? strerror(errno) : "wrong");
    exit(1);
}

static char *slurp(const char *path, size_t *length)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (from < 0 || fstat(from, &info) < 0)
        fail("read", path);
    char *content = malloc((size_t)info.st_size + 1);
    for (*length = 0; *length < (size_t)info.st_size;) {
        ssize_t got = read(from, content + *length, (size_t)info.st_size - *length);
        if (got <= 0)
            fail("read", path);
        *length += (size_t)got;
    }
    content[*length] = '\0';
    close(from);
    return content;
}

static void put(const char *path, mode_t mode, const char *content, size_t length)
{
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0 || write(to, content, length) != (ssize_t)length || fchmod(to, mode) < 0)
        fail("write", path);
    close(to);
}

/* Its signatures are checked with them, so there must be some. */
static void need_keys(const char *folder)
{
    DIR *keys = opendir(folder);
    int count = 0;
    for (struct dirent *entry; keys && (entry = readdir(keys));)
        count += strstr(entry->d_name, ".rsa.pub") != NULL;
    if (count == 0)
        fail("no key in", folder);
}

static void install_applets(void)
{
    pid_t child = fork();
    if (child == 0) {
        if (chroot(".") < 0)
            fail("chroot", ".");
        execl("/bin/busybox", "/bin/busybox", "--install", "-s", (char *)NULL);
        fail("run", "/bin/busybox");
    }
    int status = 0;
    if (waitpid(child, &status, 0) < 0 || status != 0)
        fail("install", "busybox");
}

static const char *value(int argc, char **argv, const char *option)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], option, strlen(option)) == 0)
            return argv[i] + strlen(option);
    fail("told no", option);
    return NULL;
}

int main(int argc, char **argv)
{
    size_t length = 0;
    const char *root = value(argc, argv, "--root=");
    need_keys(value(argc, argv, "--keys-dir="));
    char *repositories = slurp(value(argc, argv, "--repositories-file="), &length);
    printf("fetch %.*s\n", (int)strcspn(repositories, "\n"), repositories);
    char *busybox = slurp("/usr/bin/busybox", &length);
    if (chdir(root) < 0)
        fail("enter", root);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (mkdir(folders[i], 0755) < 0 && errno != EEXIST)
            fail("make", folders[i]);
    put("bin/busybox", 0755, busybox, length);
    install_applets();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unlink(files[i].path);
        put(files[i].path, files[i].mode, files[i].content, strlen(files[i].content));
    }
    const char *arch = value(argc, argv, "--arch=");
    put("etc/apk/arch", 0644, arch, strlen(arch));
    char world[4096] = "";
    for (int i = 1, packages = 0; i < argc; i++) {
        if (packages && strlen(world) + strlen(argv[i]) + 2 < sizeof world)
            strcat(strcat(world, argv[i]), "\n");
        packages |= strcmp(argv[i], "add") == 0;
    }
    put("etc/apk/world", 0644, world, strlen(world));
    puts("OK: 1 MiB in 1 packages");
    return 0;
}
