// Messages between the daemon and a guest's monitor: plain structs, one enum, each a row of kMessages in messages.cpp.
#pragma once

#include "base/error.h"
#include "spec/launch.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::spec
{

/// Numbers are the protocol: never reused. A monitor outlives the daemon that started it and meets newer ones.
enum class MessageType : std::uint32_t {
    Failed = 1, ///< Reply: Failure.
    Done = 2,   ///< Reply: it was done, nothing to say.

    Launch = 10,   ///< LaunchSpec, over the socket pair the monitor was born with.
    Launched = 11, ///< Launch's reply: LaunchedBody.
    Forked = 12,   ///< Before Launch: monitor pidfd, so that one that hangs can be ended.

    Info = 20,        ///< Reply: InfoReply with InfoBody + monitor pidfd, init pidfd.
    InfoReply = 21,   ///<
    Exec = 22,        ///< ExecRequest + stdin, stdout, stderr (none with pty).
    ExecStarted = 23, ///< ExecStartedBody + pidfd [+ pty master].
    ExecExited = 24,  ///< ExecExit, on the same connection when it ends.
    Signal = 25,      ///< SignalBody: to PID 1.
    Stop = 26,        ///< Clean halt, the way this init understands.
    Reboot = 27,      ///< Clean reboot.
    Kill = 28,        ///< All processes at once; Done when they are gone and cleaned up.
    Freeze = 29,
    Thaw = 30,
    AttachConsole = 31,   ///< WindowBody; reply: Done + stream socket.
    ResizeConsole = 32,   ///< WindowBody.
    ConsoleLog = 33,      ///< Reply: ConsoleLogReply with TextBody.
    ConsoleLogReply = 34, ///<
    ClearConsoleLog = 35, ///<
    Subscribe = 36,       ///< Reply: Done, then Event messages as they come.
    Event = 37,           ///< MonitorEvent.
    Replug = 38,          ///< ReplugBody; Done when the guest has them, after Failed it has what it had.
    ReplugNodes = 45,     ///< The same with device nodes in it, which a monitor that knows only Replug would pass over.
    KeepLimits = 46,      ///< LimitsBody: what a reboot begins with.
    ReplugProxies = 47,   ///< As ReplugNodes, with proxies in it.

    EnterRunning = 50, ///< Files mode: init pidfd.
    EnterStopped = 51, ///< Files mode: StoppedBody.
    FileOpen = 52,     ///< FileRequest; reply: FileReply + descriptor.
    FileStat = 53,     ///< FileRequest; reply: FileReply.
    FileList = 54,     ///< FileRequest; reply: FileReply with entries.
    FileMakeDir = 55,  ///<
    FileRemove = 56,   ///<
    FileRename = 57,   ///<
    FileSymlink = 58,  ///<
    FileReadLink = 59, ///<
    FileChange = 60,   ///< Owner and mode.
    FileReply = 61,    ///<
    FileMount = 62,    ///< Reply: FileReply + a mount of the root alone, read-only.
    FileRestore = 63,  ///< FileRequest + a mount of an earlier state that has the path.
    FileDropRestore = 64, ///< What a FileRestore of the path left that was cut off.
    FileSftp = 65,     ///< FileRequest (other: bytes that came already) + a connection to serve SFTP on; nothing else follows the reply.
    FileTake = 66, ///< FileRequest as FileOpen + the pipe that the bytes come from; the reply tells the end, and nothing else follows it.
    FileGive = 67, ///< FileRequest as FileOpen + the pipe that the bytes go to, from after the reply on; nothing else follows it.

    ProxyServe = 70,    ///< Proxy mode: a Proxy + init pidfd; Done once all its listeners came and it needs no more rights.
    ProxyListener = 71, ///< As many as fit into a message, in the order of the ports.
};

std::string_view messageName(MessageType type);

struct Failure {
    std::uint32_t code = 0; ///< base/error.h Code
    std::int32_t errnum = 0;
    std::string message;
};

struct LaunchedBody {
    std::int32_t monitorPid = 0;
    std::int32_t initPid = 0;
};

enum class GuestState : std::uint32_t { Starting = 0, Running = 1, Frozen = 2, Stopping = 3, Rebooting = 4 };

struct InfoBody {
    std::int32_t monitorPid = 0;
    std::int32_t initPid = 0;
    GuestState state = GuestState::Starting;
    std::int64_t startedAt = 0; ///< Milliseconds since 1970.
    bool booted = false;
    std::uint32_t boots = 0; ///< 1 for the first, one more for each reboot.
    std::string version;     ///< Of the monitor.
};

/// One command inside. The executor adds nothing: PATH, HOME and TERM are the caller's to give.
struct ExecRequest {
    std::vector<std::string> argv; ///< argv[0] without a slash is looked up in PATH of `environment`.
    std::vector<std::pair<std::string, std::string>> environment;
    std::string directory;          ///< Empty: HOME of `environment` where it can be entered, else "/".
    std::uint32_t uid = 0, gid = 0; ///< Inside.
    bool pty = false;
    std::uint32_t width = 0, height = 0; ///< Of the pty; 0: left alone.
};

struct ExecStartedBody {
    std::int32_t pid = 0; ///< On the host.
};

struct ExecExit {
    std::int32_t exitCode = 0; ///< 128+signal when killed, 126 not runnable, 127 not found.
    std::string error;         ///< Why it could not be run; empty when it ran.
};

struct SignalBody {
    std::int32_t signal = 0;
};

struct WindowBody {
    std::uint32_t width = 0, height = 0;
};

/// Devices of a running guest: what goes is as the guest's spec has it.
struct ReplugBody {
    std::vector<Mount> unmount, mount;
    std::vector<Nic> unplug, plug;
    std::vector<DeviceNode> removeNodes, addNodes;
    std::vector<Nic> before, after; ///< Cards that stay, with other limits or routes: pairs.
    std::vector<Proxy> closeProxies, openProxies;
    bool hasNodes() const { return !removeNodes.empty() || !addNodes.empty(); }
    bool hasProxies() const { return !closeProxies.empty() || !openProxies.empty(); }
    bool empty() const
    {
        return unmount.empty() && mount.empty() && unplug.empty() && plug.empty() && !hasNodes() && before.empty() && !hasProxies();
    }
    /// What takes it back.
    ReplugBody reversed() const
    {
        return {mount, unmount, plug, unplug, addNodes, removeNodes, after, before, openProxies, closeProxies};
    }
};

/// All that is written into the guest's control groups.
struct LimitsBody {
    std::vector<CgroupWrite> cgroupWrites;
};

struct TextBody {
    std::string text;
};

struct MonitorEvent {
    enum class Kind : std::uint32_t { Started = 0, Booted = 1, Stopped = 2, Frozen = 3, Thawed = 4 };
    enum class Reason : std::uint32_t { None = 0, Stopped = 1, Rebooting = 2, Killed = 3, Failed = 4 };
    Kind kind = Kind::Started;
    Reason reason = Reason::None; ///< Of Stopped. Rebooting: a Started follows on the same connection.
    std::int32_t status = 0;      ///< Of Stopped: wait status of PID 1 (waitpid(2)).
    std::int32_t initPid = 0;     ///< Of Started.
    std::string message;          ///< Of Stopped with Failed: why the reboot did not come up.
};

std::string_view reasonName(MonitorEvent::Reason reason);

/// What the monitor leaves in <runDir>/exit when a guest has ended for good.
struct ExitRecord {
    MonitorEvent::Reason reason = MonitorEvent::Reason::None;
    std::int32_t status = 0;
    std::int64_t endedAt = 0; ///< Milliseconds since 1970.
    std::string message;
};

/// A stopped guest's tree, to be mounted privately.
struct StoppedBody {
    Rootfs rootfs;
    IdMap idmap;
};

/// Owner and mode of -1 are left alone.
struct FileRequest {
    std::string path;       ///< Absolute, inside; links mean what they mean inside.
    std::string other;      ///< Rename: the new path. Symlink: what it points to.
    std::int32_t flags = 0; ///< Open: O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_EXCL, O_APPEND, O_NOFOLLOW.
    std::int64_t mode = -1, uid = -1, gid = -1;
    bool recursive = false; ///< MakeDir: missing parents too. Remove: whole trees.
    bool noFollow = false;  ///< Stat: of a link itself.
};

struct FileStat {
    enum class Type : std::uint32_t { Other = 0, File = 1, Directory = 2, Symlink = 3 };
    Type type = Type::Other;
    std::uint32_t mode = 0, uid = 0, gid = 0; ///< mode: permission bits; ids inside.
    std::uint64_t size = 0;
    std::int64_t modified = 0; ///< Nanoseconds since 1970.
};

struct FileEntry {
    std::string name;
    FileStat stat;
};

struct FileReplyBody {
    FileStat stat;
    std::string target; ///< ReadLink.
    std::vector<FileEntry> entries;
    bool created = false; ///< Open: there was no such file before.
};

} // namespace lxmgr::spec
