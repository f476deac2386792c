#include "kernel/cgroup.h"

#include "base/text.h"
#include "kernel/cgroup_devices.h"
#include "kernel/cgroup_io.h"
#include "kernel/cgroup_io.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <dirent.h>
#include <map>
#include <poll.h>
#include <set>

namespace lxmgr::cgroup
{

namespace
{

constexpr std::string_view kPayload = "payload";
constexpr std::string_view kExec = "payload/.lxmgr";
/// What we limit with on cgroup2, and so enable on the way down and hand on to the guest.
constexpr std::string_view kEnabled[] = {"cpu", "cpuset", "io", "memory", "pids"};
/// /sys/kernel/cgroup/delegate without the memory files: limits stay with the host.
constexpr const char *kDelegated[] = {"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"};

using Clock = std::int64_t;

Clock nowMillis()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<Clock>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

void pauseMillis(long millis)
{
    const timespec span{millis / 1000, millis % 1000 * 1'000'000};
    ::nanosleep(&span, nullptr);
}

Result<Fd> openTop(const Hierarchy &hierarchy)
{
    return sys::open(hierarchy.mountPoint, O_RDONLY | O_DIRECTORY);
}

/// The guest's folder in one hierarchy, or one below it. `path` is ours: names that passed their checks.
Result<Fd> openFolder(const Hierarchy &hierarchy, const std::string &path)
{
    return sys::open(hierarchy.mountPoint + "/" + path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

bool isAbsent(const Error &error) { return error.errnum == ENOENT || error.errnum == ENODEV; }

std::string readOr(const Fd &folder, const std::string &file, std::string fallback = {})
{
    Result<std::string> text = files::read(folder, file);
    return text ? std::string(trimmed(*text)) : std::move(fallback);
}

/// The number after `key` in "key value" lines.
std::optional<std::uint64_t> field(const std::string &text, std::string_view key)
{
    for (const std::string &line : split(text, '\n')) {
        const std::vector<std::string> parts = words(line);
        if (parts.size() == 2 && parts[0] == key)
            if (Result<std::uint64_t> value = parseUnsigned(parts[1]))
                return *value;
    }
    return {};
}

std::optional<std::uint64_t> number(const Fd &folder, const std::string &file)
{
    Result<std::uint64_t> value = parseUnsigned(readOr(folder, file));
    return value ? std::optional(*value) : std::nullopt;
}

std::optional<Bytes> bytes(const Fd &folder, const std::string &file)
{
    const std::optional<std::uint64_t> value = number(folder, file);
    return value ? std::optional(Bytes{*value}) : std::nullopt;
}

// Making folders

/// cpuset(7): a v1 folder with empty cpus or mems takes no process (ENOSPC).
Status fillCpuset(const Fd &parent, const Fd &folder)
{
    for (const char *file : {"cpuset.cpus", "cpuset.mems"})
        if (readOr(folder, file).empty())
            TRY(files::put(folder, file, readOr(parent, file)));
    return {};
}

/// One write for all; should the kernel refuse it, each by itself: those that work are there, a limit that needs one of the
/// others says so when its file is missing.
void enableControllers(const Fd &folder)
{
    const std::vector<std::string> offered = words(readOr(folder, "cgroup.controllers"));
    const std::vector<std::string> enabled = words(readOr(folder, "cgroup.subtree_control"));
    std::vector<std::string> missing;
    for (const std::string &name : offered)
        if (std::ranges::find(kEnabled, name) != std::end(kEnabled) && std::ranges::find(enabled, name) == enabled.end())
            missing.push_back("+" + name);
    if (missing.empty() || files::put(folder, "cgroup.subtree_control", join(missing, " ")))
        return;
    for (const std::string &name : missing)
        (void)files::put(folder, "cgroup.subtree_control", name); // see above
}

Result<Fd> makeFolder(const Hierarchy &hierarchy, const Fd &parent, const std::string &name)
{
    Status made = sys::mkdirat(parent, name, 0755);
    if (!made && made.error().errnum != EEXIST)
        return std::move(made.error()).in("control group below " + quoted(hierarchy.mountPoint));
    return sys::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Status createIn(const Hierarchy &hierarchy, const std::string &path)
{
    const bool cpuset = !hierarchy.unified && std::ranges::find(hierarchy.controllers, "cpuset") != hierarchy.controllers.end();
    Fd folder = TRY(openTop(hierarchy));
    for (const std::string &name : split(path, '/')) {
        if (hierarchy.unified)
            enableControllers(folder);
        Fd inner = TRY(makeFolder(hierarchy, folder, name));
        if (cpuset)
            TRY(fillCpuset(folder, inner));
        folder = std::move(inner);
    }
    if (hierarchy.unified)
        enableControllers(folder); // For the payload: the guest may limit its own services.
    return {};
}

Result<Fd> openOwned(const Layout &layout, const std::string &path, uid_t uid, gid_t gid)
{
    const Hierarchy *unified = layout.find("");
    if (!unified)
        return Fd();
    const std::size_t slash = path.rfind('/');
    const Fd parent = TRY(openFolder(*unified, path.substr(0, slash)));
    Fd folder = TRY(makeFolder(*unified, parent, path.substr(slash + 1)));
    for (const char *file : kDelegated)
        TRY(*file ? sys::fchownat(folder, file, uid, gid) : sys::fchown(folder, uid, gid));
    return folder;
}

// Writing values

Status writeValue(const Fd &folder, const Write &write)
{
    if (write.file == kDeviceProgram)
        return write.controller.empty() ? attachDeviceProgram(folder, write.value) : writeDeviceList(folder, write.value);
    const auto putValue = [&]() -> Status {
        if (write.file == kIoLimits)
            return write.controller.empty() ? writeIoMax(folder, write.value) : writeIoThrottle(folder, write.value);
        return files::put(folder, write.file, write.value);
    };
    Status put = putValue();
    if (!put && isAbsent(put.error()) && !write.required)
        return {};
    if (!put && isAbsent(put.error()))
        return Error(Code::Unsupported, "Control group file " + quoted(write.file) + " is missing", put.error().errnum)
            .hint("the controller is off on this host");
    if (!put && put.error().errnum == EBUSY && write.file == "memory.limit_in_bytes")
        return std::move(put.error()).as(Code::WrongState).hint("the guest uses more than that");
    return put;
}

/// A controller that only some guests need is handed down where the first one does: "hugetlb.2MB.max" asks for "hugetlb".
Status enableFor(const Hierarchy &hierarchy, const std::string &path, const Write &write)
{
    const std::string controller = write.file.substr(0, write.file.find('.'));
    Fd folder = TRY(openTop(hierarchy));
    for (const std::string &name : split(path, '/')) {
        TRY_IN("turn on " + quoted(controller), files::put(folder, "cgroup.subtree_control", "+" + controller));
        folder = TRY(sys::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    }
    return {};
}

// Killing and freezing

/// Where freezing is done: cgroup2's own, else the v1 freezer. cgroup2 goes first on hybrid hosts: a process that the v1
/// freezer holds does not die of SIGKILL before it is thawed.
Result<Fd> freezerFolder(const Layout &layout, const std::string &path)
{
    const Hierarchy *hierarchy = layout.find("") ? layout.find("") : layout.find("freezer");
    if (!hierarchy)
        return Error(Code::Unsupported, "This host has neither cgroup2 nor the freezer controller");
    return openFolder(*hierarchy, path);
}

Status waitFrozenV2(const Fd &folder, Clock deadline)
{
    const Fd file = TRY(sys::openat(folder, "cgroup.events", O_RDONLY));
    for (;;) {
        if (field(TRY(files::read(folder, "cgroup.events")), "frozen") == 1)
            return {};
        const Clock left = deadline - nowMillis();
        if (left <= 0)
            return Error(Code::Timeout, "Not every process could be frozen in time");
        pollfd event{file.get(), POLLPRI, 0};
        // kernfs: the file must have been read on this descriptor for the next change to wake the poll.
        char byte;
        [[maybe_unused]] const ssize_t read = ::pread(file.get(), &byte, 1, 0);
        ::poll(&event, 1, static_cast<int>(std::min<Clock>(left, 50)));
    }
}

/// v1 has no event for it: FREEZING becomes FROZEN at some time after the last process stopped.
Status waitFrozenV1(const Fd &folder, Clock deadline)
{
    for (long pause = 1; readOr(folder, "freezer.state") != "FROZEN"; pause = std::min(pause * 2, 20L)) {
        if (nowMillis() >= deadline)
            return Error(Code::Timeout, "Not every process could be frozen in time");
        pauseMillis(pause);
        TRY(files::put(folder, "freezer.state", "FROZEN")); // kernel doc: written again, in case of a race with fork
    }
    return {};
}

Status killEach(const Layout &layout, const std::string &path)
{
    for (const pid_t pid : TRY(processes(layout, path)))
        if (::kill(pid, SIGKILL) != 0 && errno != ESRCH)
            return Error::fromErrno(errno, "kill", std::to_string(pid));
    return {};
}

/// Without cgroup.kill: frozen, so that nothing forks away meanwhile; they die once thawed.
Status killFrozen(const Layout &layout, const std::string &path)
{
    const Status frozen = freeze(layout, path, {2'000});
    Status killed = killEach(layout, path);
    TRY(thaw(layout, path));
    for (int round = 0; !frozen && killed && round < 16; ++round) // Some ran on and may have forked.
        killed = killEach(layout, path);
    return killed;
}

// Removing

Status waitEmpty(const Fd &folder, bool unified, Clock deadline)
{
    const Clock left = deadline - nowMillis();
    if (left <= 0)
        return Error(Code::WrongState, "Processes are still in the control group", EBUSY);
    Result<Fd> file = unified ? sys::openat(folder, "cgroup.events", O_RDONLY) : Result<Fd>(Fd());
    if (!file || !*file) {
        pauseMillis(1);
        return {};
    }
    const std::string text = TRY(files::readAll(*file));
    pollfd event{file->get(), POLLPRI, 0};
    // Not populated and yet busy: the last one is on its way out.
    ::poll(&event, 1, field(text, "populated") == 1 ? static_cast<int>(std::min<Clock>(left, 100)) : 1);
    return {};
}

Status removeFolder(const Fd &parent, const std::string &name, bool unified, Clock deadline)
{
    for (;;) {
        Status removed = sys::unlinkat(parent, name, AT_REMOVEDIR);
        if (removed || removed.error().errnum == ENOENT)
            return {};
        if (removed.error().errnum != EBUSY)
            return removed;
        Result<Fd> folder = sys::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (!folder)
            continue; // Gone meanwhile: the next round says so.
        for (const std::string &inner : TRY(folders(*folder)))
            TRY(removeFolder(*folder, inner, unified, deadline));
        removed = sys::unlinkat(parent, name, AT_REMOVEDIR);
        if (removed || removed.error().errnum == ENOENT)
            return {};
        TRY(waitEmpty(*folder, unified, deadline));
    }
}

/// The folder that `path` is in.
Result<Fd> openParent(const Hierarchy &hierarchy, const std::string &path)
{
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? openTop(hierarchy) : openFolder(hierarchy, path.substr(0, slash));
}

std::string lastOf(const std::string &path) { return path.substr(path.rfind('/') + 1); }

Status removeIn(const Hierarchy &hierarchy, const std::string &path, Clock deadline)
{
    Result<Fd> parent = openParent(hierarchy, path);
    if (!parent && parent.error().errnum == ENOENT)
        return {};
    return removeFolder(TRY(std::move(parent)), lastOf(path), hierarchy.unified, deadline);
}

// Reading

/// A threaded folder (cgroup2) has no list of processes: they are in the one above.
Status addProcesses(const Fd &folder, std::set<pid_t> &found)
{
    Result<std::string> text = files::read(folder, "cgroup.procs");
    if (!text && text.error().errnum != EOPNOTSUPP && text.error().errnum != ENODEV)
        return std::move(text.error());
    for (const std::string &word : words(text ? *text : ""))
        if (Result<std::uint64_t> pid = parseUnsigned(word, 1, INT32_MAX))
            found.insert(static_cast<pid_t>(*pid));
    for (const std::string &name : TRY(folders(folder)))
        if (Result<Fd> inner = sys::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
            TRY(addProcesses(*inner, found));
    return {};
}

/// The tree whose process lists are asked: cgroup2, else v1 pids, else whichever is there.
const Hierarchy &processTree(const Layout &layout)
{
    for (const std::string_view controller : {"", "pids", "memory"})
        if (const Hierarchy *hierarchy = layout.find(controller))
            return *hierarchy;
    return layout.hierarchies().front();
}

std::uint64_t sumOf(const std::string &text, std::initializer_list<std::string_view> keys)
{
    std::uint64_t sum = 0;
    for (const std::string_view key : keys)
        sum += field(text, key).value_or(0);
    return sum;
}

void readMemoryV2(const Fd &folder, Usage &usage)
{
    usage.memory = bytes(folder, "memory.current");
    usage.memoryPeak = bytes(folder, "memory.peak"); // Linux 5.19
    usage.memoryLimit = bytes(folder, "memory.max"); // "max" is no number
    usage.swap = bytes(folder, "memory.swap.current");
    usage.swapPeak = bytes(folder, "memory.swap.peak"); // Linux 6.5
    usage.oomKills = field(readOr(folder, "memory.events"), "oom_kill");
}

void readMemoryV1(const Fd &folder, Usage &usage)
{
    constexpr std::uint64_t kUnlimited = std::uint64_t(1) << 62; // PAGE_COUNTER_MAX in bytes, about 2^63
    usage.memory = bytes(folder, "memory.usage_in_bytes");
    usage.memoryPeak = bytes(folder, "memory.max_usage_in_bytes");
    usage.memoryLimit = bytes(folder, "memory.limit_in_bytes");
    if (usage.memoryLimit && usage.memoryLimit->count >= kUnlimited)
        usage.memoryLimit.reset();
    const std::optional<Bytes> both = bytes(folder, "memory.memsw.usage_in_bytes");
    if (both && usage.memory)
        usage.swap = Bytes{both->count - std::min(both->count, usage.memory->count)};
    usage.oomKills = field(readOr(folder, "memory.oom_control"), "oom_kill");
}

void readCpu(const Layout &layout, const std::string &path, Usage &usage)
{
    const Hierarchy *counted = layout.find("cpuacct");
    Result<Fd> folder = counted ? openFolder(*counted, path) : Result<Fd>(Fd());
    if (counted && folder) {
        usage.cpuNanoseconds = number(*folder, "cpuacct.usage");
        usage.cpuUserNanoseconds = number(*folder, "cpuacct.usage_user");
    }
    const Hierarchy *unified = counted ? nullptr : layout.find("");
    if (Result<Fd> v2 = unified ? openFolder(*unified, path) : Result<Fd>(Fd()); unified && v2) {
        const auto text = readOr(*v2, "cpu.stat");
        if (const auto micros = field(text, "usage_usec"))
            usage.cpuNanoseconds = *micros * 1000;
        if (const auto micros = field(text, "user_usec"))
            usage.cpuUserNanoseconds = *micros * 1000;
    }
}

} // namespace

Result<std::vector<std::string>> folders(const Fd &folder)
{
    Fd again = TRY(sys::openat(folder, ".", O_RDONLY | O_DIRECTORY)); // A position of its own, and closedir(3) closes it.
    DIR *const stream = ::fdopendir(again.get());
    if (!stream)
        return Error::fromErrno(errno, "fdopendir");
    again.release();
    std::vector<std::string> names;
    while (const dirent *entry = ::readdir(stream))
        if (entry->d_type == DT_DIR && entry->d_name != std::string_view(".") && entry->d_name != std::string_view(".."))
            names.emplace_back(entry->d_name);
    ::closedir(stream);
    return names;
}

Status create(const Layout &layout, const std::string &path)
{
    for (const Hierarchy &hierarchy : layout.hierarchies())
        TRY(createIn(hierarchy, path));
    return {};
}

Status write(const Layout &layout, const std::string &path, std::span<const Write> writes)
{
    std::map<std::string, Fd> folders;
    std::vector<const Write *> again;
    const auto run = [&](const Write &row) -> Status {
        const Hierarchy *hierarchy = layout.find(row.controller);
        if (!hierarchy)
            return Error(Code::Unsupported, "This host has no control group controller " + quoted(row.controller));
        Fd &folder = folders[hierarchy->mountPoint];
        if (!folder)
            folder = TRY(openFolder(*hierarchy, path));
        Status written = writeValue(folder, row);
        const bool isOff = !written && isAbsent(written.error()) && hierarchy->unified && row.file != kDeviceProgram;
        if (isOff && enableFor(*hierarchy, path, row))
            written = writeValue(folder, row);
        return written;
    };
    for (const Write &row : writes) {
        Status written = run(row);
        if (!written && written.error().errnum == EINVAL)
            again.push_back(&row);
        else if (!written)
            return std::move(written.error()).in(quoted(row.file) + " = " + quoted(row.value));
    }
    for (const Write *row : again)
        TRY_IN(quoted(row->file) + " = " + quoted(row->value), run(*row));
    return {};
}

Result<Fd> openPayload(const Layout &layout, const std::string &path, uid_t uid, gid_t gid)
{
    return openOwned(layout, path + "/" + std::string(kPayload), uid, gid);
}

Result<Fd> openExec(const Layout &layout, const std::string &path, uid_t uid, gid_t gid)
{
    return openOwned(layout, path + "/" + std::string(kExec), uid, gid);
}

Status attach(const Layout &layout, const std::string &path, pid_t pid)
{
    // A thread that moves itself cannot exit meanwhile, so the kernel spares it the lock that waits for RCU.
    const char *file = pid == 0 ? "/tasks" : "/cgroup.procs";
    for (const Hierarchy &hierarchy : layout.hierarchies())
        if (!hierarchy.unified)
            TRY(files::put(hierarchy.mountPoint + "/" + path + file, std::to_string(pid)));
    return {};
}

Status attachSelf(const Layout &layout, const std::string &path, uid_t uid, gid_t gid)
{
    if (const Fd folder = TRY(openExec(layout, path, uid, gid)))
        TRY(files::put(folder, "cgroup.procs", "0"));
    return attach(layout, path, 0);
}

Status kill(const Layout &layout, const std::string &path)
{
    if (const Hierarchy *unified = layout.find("")) {
        Status killed = files::put(unified->mountPoint + "/" + path + "/cgroup.kill", "1");
        if (killed || killed.error().errnum != ENOENT)
            return killed;
    }
    return exists(layout, path) ? killFrozen(layout, path) : Status();
}

Status freeze(const Layout &layout, const std::string &path, Millis most)
{
    const Fd folder = TRY(freezerFolder(layout, path));
    const bool unified = layout.find("") != nullptr;
    const Clock deadline = nowMillis() + most.count;
    TRY(unified ? files::put(folder, "cgroup.freeze", "1") : files::put(folder, "freezer.state", "FROZEN"));
    Status frozen = unified ? waitFrozenV2(folder, deadline) : waitFrozenV1(folder, deadline);
    if (!frozen)
        TRY(thaw(layout, path));
    return frozen;
}

Status thaw(const Layout &layout, const std::string &path)
{
    const Fd folder = TRY(freezerFolder(layout, path));
    return layout.find("") ? files::put(folder, "cgroup.freeze", "0") : files::put(folder, "freezer.state", "THAWED");
}

Status remove(const Layout &layout, const std::string &path, Millis most)
{
    const Clock deadline = nowMillis() + most.count;
    for (const Hierarchy &hierarchy : layout.hierarchies())
        TRY_IN("remove control group " + quoted(path), removeIn(hierarchy, path, deadline));
    return {};
}

void removeEmpty(const Layout &layout, const std::string &path)
{
    for (const Hierarchy &hierarchy : layout.hierarchies())
        if (const Result<Fd> parent = openParent(hierarchy, path))
            (void)sys::unlinkat(*parent, lastOf(path), AT_REMOVEDIR); // EBUSY: something is in it
}

bool exists(const Layout &layout, const std::string &path)
{
    return std::ranges::any_of(layout.hierarchies(), [&](const Hierarchy &h) { return openFolder(h, path).has_value(); });
}

std::vector<std::string> children(const Layout &layout, const std::string &base)
{
    std::set<std::string> names;
    for (const Hierarchy &hierarchy : layout.hierarchies())
        if (Result<Fd> folder = openFolder(hierarchy, base))
            if (Result<std::vector<std::string>> found = folders(*folder))
                names.insert(found->begin(), found->end());
    return {names.begin(), names.end()};
}

Result<std::vector<pid_t>> processes(const Layout &layout, const std::string &path)
{
    std::set<pid_t> found;
    Result<Fd> folder = openFolder(processTree(layout), path);
    if (!folder && folder.error().errnum == ENOENT)
        return std::vector<pid_t>();
    TRY(addProcesses(TRY(std::move(folder)), found));
    return std::vector<pid_t>(found.begin(), found.end());
}

Result<Events> events(const Layout &layout, const std::string &path)
{
    if (const Hierarchy *unified = layout.find("")) {
        const std::string text = TRY(files::read(unified->mountPoint + "/" + path + "/cgroup.events"));
        return Events{field(text, "populated") == 1, field(text, "frozen") == 1};
    }
    const Fd folder = TRY(freezerFolder(layout, path));
    return Events{!TRY(processes(layout, path)).empty(), readOr(folder, "freezer.state") == "FROZEN"};
}

Result<Fd> openEvents(const Layout &layout, const std::string &path)
{
    const Hierarchy *unified = layout.find("");
    return unified ? sys::open(unified->mountPoint + "/" + path + "/cgroup.events", O_RDONLY) : Result<Fd>(Fd());
}

Result<Bytes> heldMemory(const Layout &layout, const std::string &path)
{
    const Hierarchy *memory = layout.find("memory");
    if (!memory)
        return Error(Code::Unsupported, "This host does not count the memory of control groups");
    const std::string text = TRY(files::read(TRY(openFolder(*memory, path)), "memory.stat"));
    if (memory->unified)
        return Bytes{sumOf(text, {"anon", "shmem", "kernel_stack", "pagetables", "slab_unreclaimable", "percpu", "sock"})};
    return Bytes{sumOf(text, {"total_rss", "total_shmem"})};
}

Result<Usage> usage(const Layout &layout, const std::string &path)
{
    Usage usage;
    if (const Hierarchy *memory = layout.find("memory")) {
        const Fd folder = TRY(openFolder(*memory, path));
        memory->unified ? readMemoryV2(folder, usage) : readMemoryV1(folder, usage);
    }
    if (const Hierarchy *pids = layout.find("pids"))
        usage.processes = number(TRY(openFolder(*pids, path)), "pids.current");
    readCpu(layout, path, usage);
    return usage;
}

Result<std::vector<IoUsage>> ioUsage(const Layout &layout, const std::string &path)
{
    const auto text = [](const Fd &folder, const char *name) { return files::read(folder, name).value_or(""); };
    if (const Hierarchy *unified = layout.find("io"))
        return parseIoStat(text(TRY(openFolder(*unified, path)), "io.stat"));
    const Hierarchy *old = layout.find("blkio");
    if (!old)
        return std::vector<IoUsage>();
    const Fd folder = TRY(openFolder(*old, path));
    return parseThrottleStat(text(folder, "blkio.throttle.io_service_bytes_recursive"), text(folder, "blkio.throttle.io_serviced_recursive"));
}

} // namespace lxmgr::cgroup
