/* probe: a static program run inside guests, so that tests ask the kernel and not us. One word says what to do. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* eat MIB: touches that much memory, page by page */
static int eat(int argc, char **argv)
{
    size_t mib = argc > 0 ? strtoul(argv[0], NULL, 10) : 64;
    for (size_t i = 0; i < mib; i++) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return perror("mmap"), 1;
        for (size_t at = 0; at < 1 << 20; at += 4096)
            block[at] = 1;
    }
    puts("ate");
    return 0;
}

/* hold MIB: takes memory, says so and keeps it until it is killed */
static int hold(int argc, char **argv)
{
    if (eat(argc, argv))
        return 1;
    fflush(stdout);
    pause();
    return 0;
}

/* forks N: starts up to N sleeping children, prints how many it got, ends them */
static int forks(int argc, char **argv)
{
    int wanted = argc > 0 ? atoi(argv[0]) : 100, got = 0;
    pid_t *children = calloc((size_t)wanted, sizeof *children);
    while (got < wanted) {
        pid_t child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        if (child < 0)
            break;
        children[got++] = child;
    }
    printf("%d %s\n", got, got < wanted ? strerrorname_np(errno) : "all");
    for (int i = 0; i < got; i++)
        kill(children[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    return 0;
}

/* spin MS: uses one CPU for that wall time, prints the CPU time it got, in ms */
static int spin(int argc, char **argv)
{
    long ms = argc > 0 ? atol(argv[0]) : 1000;
    struct timespec start, now, used;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    printf("%ld\n", used.tv_sec * 1000 + used.tv_nsec / 1000000);
    return 0;
}

/* call NAME: one system call a guest must not be able to make; prints its errno's name */
static int call(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "";
    long result = -1;
    errno = EINVAL;
    if (!strcmp(name, "init_module"))
        result = syscall(SYS_init_module, NULL, 0, "");
    else if (!strcmp(name, "kexec_load"))
        result = syscall(SYS_kexec_load, 0, 0, NULL, 0);
    else if (!strcmp(name, "open_by_handle_at"))
        result = syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY);
    else if (!strcmp(name, "bpf"))
        result = syscall(SYS_bpf, 0, NULL, 0);
    else if (!strcmp(name, "perf_event_open"))
        result = syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
    else if (!strcmp(name, "swapon"))
        result = syscall(SYS_swapon, "/", 0);
    else if (!strcmp(name, "clock_settime"))
        result = syscall(SYS_clock_settime, CLOCK_REALTIME, NULL);
    else if (!strcmp(name, "af_alg"))
        result = socket(AF_ALG, SOCK_SEQPACKET, 0);
    else if (!strcmp(name, "af_vsock"))
        result = socket(AF_VSOCK, SOCK_STREAM, 0);
    else if (!strcmp(name, "mknod"))
        result = mknod("/probe-node", S_IFBLK | 0600, makedev(7, 0));
    else if (!strcmp(name, "umount_force"))
        result = umount2("/proc", MNT_FORCE);
    printf("%s\n", result >= 0 ? "allowed" : strerrorname_np(errno));
    return 0;
}

/* open PATH [w]: prints "ok" or the errno's name */
static int openIt(int argc, char **argv)
{
    int fd = argc > 0 ? open(argv[0], argc > 1 ? O_RDWR : O_RDONLY) : -1;
    printf("%s\n", fd >= 0 ? "ok" : strerrorname_np(errno));
    return 0;
}

/* fds: the numbers of all open descriptors */
static int fds(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("%d ", fd);
    puts("");
    return 0;
}

/* die SIGNAL: ends by that signal */
static int die(int argc, char **argv)
{
    int number = argc > 0 ? atoi(argv[0]) : SIGKILL;
    signal(number, SIG_DFL);
    raise(number);
    return 0;
}

/* count FILE: appends a growing number to FILE every 20 ms, to see whether it runs on */
static int count(int argc, char **argv)
{
    FILE *file = argc > 0 ? fopen(argv[0], "w") : NULL;
    for (unsigned long i = 0; file; i++) {
        rewind(file);
        fprintf(file, "%lu\n", i);
        fflush(file);
        usleep(20000);
    }
    return 1;
}

/* ask SOCKET: sends standard input to a unix socket and prints all that comes back, until the other side ends */
static int ask(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int to = socket(AF_UNIX, SOCK_STREAM, 0), open = 1;
    if (argc < 1)
        return 2;
    strncpy(address.sun_path, argv[0], sizeof address.sun_path - 1);
    if (connect(to, (struct sockaddr *)&address, sizeof address) < 0) {
        printf("%s\n", strerrorname_np(errno));
        return 1;
    }
    for (;;) {
        char buffer[65536];
        struct pollfd ready[2] = {{to, POLLIN, 0}, {open ? 0 : -1, POLLIN, 0}};
        if (poll(ready, 2, -1) < 0)
            return perror("poll"), 1;
        if (ready[0].revents) {
            ssize_t got = read(to, buffer, sizeof buffer);
            if (got <= 0)
                return 0;
            if (write(1, buffer, (size_t)got) != got)
                return 1;
        }
        if (ready[1].revents) {
            ssize_t got = read(0, buffer, sizeof buffer);
            if (got <= 0)
                open = 0;
            else if (write(to, buffer, (size_t)got) != got)
                return 1;
        }
    }
}

static long since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static struct sockaddr_in at(const char *address, const char *port)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    inet_pton(AF_INET, address, &place.sin_addr);
    return place;
}

/* direct FILE MS: writes blocks past the page cache, over and over the same 4 MiB, for that long; prints how many KiB */
static int direct(int argc, char **argv)
{
    enum { kBlock = 64 << 10, kBlocks = 64 };
    const int fd = argc > 1 ? open(argv[0], O_WRONLY | O_CREAT | O_DIRECT, 0600) : -1;
    void *block = NULL;
    if (fd < 0 || posix_memalign(&block, 4096, kBlock) != 0)
        return perror("direct"), 1;
    memset(block, 7, kBlock);
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long written = 0;
    for (; since(&start) < atol(argv[1]); written++)
        if (pwrite(fd, block, kBlock, (off_t)(written % kBlocks) * kBlock) != kBlock)
            return perror("pwrite"), 1;
    printf("%ld\n", written * (kBlock >> 10));
    return 0;
}

/* lock MIB: locks that much memory as a user who is not root, whose capability would be above the limit */
static int lock(int argc, char **argv)
{
    const size_t size = (argc > 0 ? strtoul(argv[0], NULL, 10) : 1) << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    puts(memory == MAP_FAILED || setuid(1000) != 0 || mlock(memory, size) != 0 ? strerrorname_np(errno) : "ok");
    return 0;
}

/* huge COUNT: maps that many huge pages of 2 MiB and touches each */
static int huge(int argc, char **argv)
{
    const size_t size = (argc > 0 ? strtoul(argv[0], NULL, 10) : 1) << 21;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1, 0);
    if (memory == MAP_FAILED)
        return puts(strerrorname_np(errno)), 0;
    for (size_t at = 0; at < size; at += 1UL << 21)
        memory[at] = 1;
    puts("ok");
    return 0;
}

/* sink ADDRESS PORT: says "ready", takes one TCP connection and all that comes, then ends it */
static int sink(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    struct sockaddr_in place = at(argv[0], argv[1]);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 1))
        return perror("listen"), 1;
    puts("ready");
    fflush(stdout);
    int taken = accept(listener, NULL, NULL);
    static char buffer[65536];
    while (read(taken, buffer, sizeof buffer) > 0)
        ;
    return 0;
}

/* pour ADDRESS PORT KIB: sends that much by TCP, prints in how many ms it was all taken */
static int pour(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    struct sockaddr_in place = at(argv[0], argv[1]);
    int out = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(out, (struct sockaddr *)&place, sizeof place))
        return perror("connect"), 1;
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    static char buffer[1024];
    for (long i = atol(argv[2]); i > 0; i--)
        if (write(out, buffer, sizeof buffer) != sizeof buffer)
            return perror("write"), 1;
    shutdown(out, SHUT_WR);
    if (read(out, buffer, 1) != 0) /* the other end has read it all when it closes */
        return perror("read"), 1;
    printf("%ld\n", since(&start));
    return 0;
}

static size_t fromHex(const char *hex, unsigned char *bytes, size_t most)
{
    size_t count = 0;
    unsigned value;
    while (count < most && sscanf(hex + 2 * count, "%2x", &value) == 1)
        bytes[count++] = (unsigned char)value;
    return count;
}

/* frames INTERFACE HEX...: sends each as it is */
static int frames(int argc, char **argv)
{
    int out = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = argc > 0 ? (int)if_nametoindex(argv[0]) : 0, .sll_halen = 6};
    for (int i = 1; i < argc; i++) {
        unsigned char bytes[1514];
        size_t count = fromHex(argv[i], bytes, sizeof bytes);
        if (sendto(out, bytes, count, 0, (struct sockaddr *)&link, sizeof link) < 0)
            return perror("sendto"), 1;
    }
    puts("sent");
    return 0;
}

/* hear INTERFACE: says "ready", then prints what follows "mark:" in frames, a line each, until that is "end" */
static int hear(int argc, char **argv)
{
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = argc > 0 ? (int)if_nametoindex(argv[0]) : 0};
    int in = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    if (bind(in, (struct sockaddr *)&link, sizeof link))
        return perror("bind"), 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        char bytes[2048], word[16] = "";
        ssize_t count = recv(in, bytes, sizeof bytes, 0);
        char *mark = count > 0 ? memmem(bytes, (size_t)count, "mark:", 5) : NULL;
        if (!mark)
            continue;
        for (size_t i = 0; i < sizeof word - 1 && mark + 5 + i < bytes + count && mark[5 + i] > ' '; i++)
            word[i] = mark[5 + i];
        if (!strcmp(word, "end"))
            return 0;
        puts(word);
    }
}

/* A socket of KIND (tcp, udp, unix) and where it is to be: ADDRESS is an IP address, a path or @NAME. */
static int place(const char *kind, const char *address, const char *port, struct sockaddr_storage *where, socklen_t *length)
{
    memset(where, 0, sizeof *where);
    if (!strcmp(kind, "unix")) {
        struct sockaddr_un *to = (struct sockaddr_un *)where;
        to->sun_family = AF_UNIX;
        strncpy(to->sun_path, address, sizeof to->sun_path - 1);
        *length = (socklen_t)(sizeof to->sun_family + strlen(address) + (address[0] != '@'));
        if (address[0] == '@')
            to->sun_path[0] = 0;
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    int six = strchr(address, ':') != NULL;
    *length = six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    where->ss_family = six ? AF_INET6 : AF_INET;
    ((struct sockaddr_in *)where)->sin_port = htons((unsigned short)atoi(port)); /* at the same place in both */
    inet_pton(where->ss_family, address, six ? (void *)&((struct sockaddr_in6 *)where)->sin6_addr : (void *)&((struct sockaddr_in *)where)->sin_addr);
    return socket(where->ss_family, (!strcmp(kind, "udp") ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
}

/* One client: all it says up to its end, then what was heard, in one piece up to 4000 bytes, else its length. */
static void serve(int client, const char *port)
{
    static char heard[65536];
    char answer[70000];
    struct ucred who = {0, 0, 0};
    socklen_t size = sizeof who;
    size_t total = 0;
    ssize_t got;
    int domain = 0, peer = getsockopt(client, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof domain}) == 0 && domain == AF_UNIX &&
                           getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
    while ((got = read(client, heard + (total < 4000 ? total : 4000), sizeof heard - 4000)) > 0)
        total += (size_t)got;
    int used = peer ? snprintf(answer, 100, "%s uid %u gid %u ", port, who.uid, who.gid) : snprintf(answer, 100, "%s ", port);
    if (total > 4000)
        used += snprintf(answer + used, 100, "%zu bytes", total);
    else
        memcpy(answer + used, heard, total), used += (int)total;
    for (int sent = 0; sent < used; sent += (int)got)
        if ((got = send(client, answer + sent, (size_t)(used - sent), MSG_NOSIGNAL)) <= 0)
            break;
    close(client);
}

/* answer [-d] KIND ADDRESS [PORT...]: answers each client with the port and what it said (of a stream, up to its end). It says
   "ready" when it listens; with -d it goes into the background then. */
static int answer(int argc, char **argv)
{
    int hidden = argc > 0 && !strcmp(argv[0], "-d");
    argc -= hidden, argv += hidden;
    if (argc < 2)
        return 2;
    int ports = argc > 2 ? argc - 2 : 1, sockets[64];
    for (int i = 0; i < ports && i < 64; i++) {
        struct sockaddr_storage where;
        socklen_t length;
        int one = 1;
        sockets[i] = place(argv[0], argv[1], argc > 2 ? argv[2 + i] : "0", &where, &length);
        setsockopt(sockets[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(sockets[i], (struct sockaddr *)&where, length) != 0)
            return perror("bind"), 1;
        if (strcmp(argv[0], "udp") && listen(sockets[i], 4096) != 0)
            return perror("listen"), 1;
    }
    puts("ready");
    fflush(stdout);
    if (hidden && fork() != 0)
        return 0;
    if (hidden) {
        setsid();
        int nothing = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(nothing, fd);
    }
    signal(SIGCHLD, SIG_IGN);
    for (int i = 1; i < ports; i++)
        if (fork() == 0) {
            sockets[0] = sockets[i];
            argv[2] = argv[2 + i];
            break;
        }
    const char *port = argc > 2 ? argv[2] : "0";
    while (!strcmp(argv[0], "udp")) {
        char data[65536];
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        int used = snprintf(data, 100, "%s ", port);
        ssize_t got = recvfrom(sockets[0], data + used, sizeof data - 100, 0, (struct sockaddr *)&from, &length);
        if (got >= 0)
            sendto(sockets[0], data, (size_t)(used + got), 0, (struct sockaddr *)&from, length);
    }
    for (;;) {
        int client = accept4(sockets[0], NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0 && fork() == 0) {
            serve(client, port);
            _exit(0);
        }
        close(client);
    }
}

/* request [-1] KIND ADDRESS PORT TEXT: says it, and that this is all; prints the answer (-1: its first piece), or the errno's name */
static int request(int argc, char **argv)
{
    int once = argc > 0 && !strcmp(argv[0], "-1");
    argc -= once, argv += once;
    struct sockaddr_storage where;
    socklen_t length;
    char heard[65536];
    ssize_t got;
    struct timeval patience = {10, 0};
    if (argc < 4)
        return 2;
    int socket = place(argv[0], argv[1], argv[2], &where, &length);
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(socket, (struct sockaddr *)&where, length) != 0 || send(socket, argv[3], strlen(argv[3]), 0) < 0)
        return puts(strerrorname_np(errno)), 0;
    int datagram = !strcmp(argv[0], "udp");
    if (!datagram)
        shutdown(socket, SHUT_WR);
    while ((got = read(socket, heard, sizeof heard)) > 0) {
        fwrite(heard, 1, (size_t)got, stdout);
        if (datagram || once)
            break;
    }
    if (got < 0)
        fputs(strerrorname_np(errno), stdout);
    puts("");
    return 0;
}

static int outcome(long result)
{
    puts(result < 0 ? strerrorname_np(errno) : "done");
    return 0;
}

/* node PATH MAJOR MINOR [FOLDER]: makes a character device, below an open FOLDER if one is given */
static int node(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int folder = argc > 3 ? open(argv[3], O_PATH | O_DIRECTORY) : AT_FDCWD;
    return outcome(mknodat(folder, argv[0], S_IFCHR | 0666, makedev((unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]))));
}

/* nodes N PATH: makes and removes 0:0 that often, in four processes at a time; prints how many could not be made */
static int nodes(int argc, char **argv)
{
    int wanted = argc > 0 ? atoi(argv[0]) : 100, failed = 0, status;
    for (int child = 0; child < 4; child++)
        if (fork() == 0) {
            char path[4096];
            int bad = 0;
            snprintf(path, sizeof path, "%s%d", argc > 1 ? argv[1] : "/node", child);
            for (int i = 0; i < wanted; i++) {
                bad += mknod(path, S_IFCHR | 0600, makedev(1, 3)) != 0;
                unlink(path);
            }
            _exit(bad != 0);
        }
    while (wait(&status) > 0)
        failed += WEXITSTATUS(status) != 0;
    printf("%d\n", failed);
    return 0;
}

/* attribute PATH NAME VALUE [f|l]: sets it by path, by descriptor or of a link itself */
static int attribute(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *how = argc > 3 ? argv[3] : "";
    size_t size = strlen(argv[2]);
    if (*how == 'f')
        return outcome(fsetxattr(open(argv[0], O_RDONLY), argv[1], argv[2], size, 0));
    return outcome(*how == 'l' ? lsetxattr(argv[0], argv[1], argv[2], size, 0) : setxattr(argv[0], argv[1], argv[2], size, 0));
}

/* resources: what sysinfo(2) says: memory in MiB, processes, seconds */
static int resources(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct sysinfo info;
    if (sysinfo(&info) != 0)
        return outcome(-1);
    printf("%lu %lu %u %ld\n", info.totalram * info.mem_unit >> 20, info.freeram * info.mem_unit >> 20, info.procs, info.uptime);
    return 0;
}

static const char *orNull(const char *text) { return *text ? text : NULL; }

/* mount SOURCE TARGET TYPE FLAGS DATA: mount(2) as it is */
static int mountIt(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    return outcome(mount(orNull(argv[0]), argv[1], argv[2], strtoul(argv[3], NULL, 0), orNull(argv[4])));
}

static char gText[2][2][256]; /* what the words change between */
static char gNow[2][256];

static void *change(void *unused)
{
    for (unsigned i = 0;; i++)
        for (int word = 0; word < 2; word++)
            memcpy(gNow[word], gText[word][(i >> word) % 2], sizeof gNow[word]);
    return unused;
}

/* changing N SOURCE SOURCE2 TYPE TYPE2 TARGET: mounts N times while a thread changes the words, and unmounts; prints how often it could */
static int changing(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    for (int i = 0; i < 4; i++)
        snprintf(gText[i / 2][i % 2], sizeof gText[0][0], "%s", argv[i + 1]);
    memcpy(gNow[0], gText[0][0], sizeof gNow[0]);
    memcpy(gNow[1], gText[1][0], sizeof gNow[1]);
    pthread_t thread;
    if (pthread_create(&thread, NULL, change, NULL) != 0)
        return 1;
    int done = 0;
    for (int i = 0; i < atoi(argv[0]); i++)
        if (mount(gNow[0], argv[5], gNow[1], 0, NULL) == 0) {
            done++;
            if (umount(argv[5]) != 0)
                return outcome(-1);
        }
    printf("%d\n", done);
    return 0;
}

static const struct {
    const char *name;
    int policy;
} kPolicies[] = {{"other", SCHED_OTHER}, {"fifo", SCHED_FIFO}, {"rr", SCHED_RR}, {"batch", SCHED_BATCH}, {"idle", SCHED_IDLE}, {"bad", 77}};

/* schedule PID POLICY PRIORITY: sets it and says what it is then; a fourth word: from memory that is not there */
static int schedule(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int policy = -1;
    struct sched_param parameters = {.sched_priority = atoi(argv[2])};
    for (size_t i = 0; i < sizeof kPolicies / sizeof kPolicies[0]; i++)
        if (!strcmp(argv[1], kPolicies[i].name))
            policy = kPolicies[i].policy;
    pid_t pid = atoi(argv[0]);
    if (syscall(SYS_sched_setscheduler, pid, policy, argc > 3 ? (void *)8 : &parameters) != 0)
        return outcome(-1);
    int now = sched_getscheduler(pid);
    sched_getparam(pid, &parameters);
    for (size_t i = 0; i < sizeof kPolicies / sizeof kPolicies[0]; i++)
        if (now == kPolicies[i].policy)
            printf("%s %d\n", kPolicies[i].name, parameters.sched_priority);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int, char **);
} kWords[] = {{"eat", eat},     {"hold", hold},   {"forks", forks}, {"spin", spin}, {"call", call},
              {"open", openIt}, {"fds", fds},     {"die", die},   {"count", count},
              {"ask", ask},   {"sink", sink}, {"pour", pour}, {"frames", frames}, {"hear", hear},
              {"answer", answer}, {"request", request}, {"node", node}, {"nodes", nodes}, {"attribute", attribute}, {"resources", resources},
              {"schedule", schedule}, {"mount", mountIt}, {"changing", changing}, {"lock", lock}, {"direct", direct}, {"huge", huge}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof kWords / sizeof kWords[0]; i++)
        if (!strcmp(argv[1], kWords[i].name))
            return kWords[i].run(argc - 2, argv + 2);
    fprintf(stderr, "probe: eat|forks|spin|call|open|fds|die|count|sink|pour|frames|hear|answer|request|node|nodes|attribute|resources|schedule|mount|changing|lock|direct|huge\n");
    return 2;
}
