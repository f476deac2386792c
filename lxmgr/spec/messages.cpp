#include "spec/messages.h"

namespace lxmgr::spec
{

namespace
{

struct MessageRow {
    MessageType type;
    std::string_view name;
};

// clang-format off
constexpr MessageRow kMessages[] = {
    {MessageType::Failed,          "failed"},
    {MessageType::Done,            "done"},
    {MessageType::Launch,          "launch"},
    {MessageType::Launched,        "launched"},
    {MessageType::Forked,          "forked"},
    {MessageType::Info,            "info"},
    {MessageType::InfoReply,       "info-reply"},
    {MessageType::Exec,            "exec"},
    {MessageType::ExecStarted,     "exec-started"},
    {MessageType::ExecExited,      "exec-exited"},
    {MessageType::Signal,          "signal"},
    {MessageType::Stop,            "stop"},
    {MessageType::Reboot,          "reboot"},
    {MessageType::Kill,            "kill"},
    {MessageType::Freeze,          "freeze"},
    {MessageType::Thaw,            "thaw"},
    {MessageType::AttachConsole,   "attach-console"},
    {MessageType::ResizeConsole,   "resize-console"},
    {MessageType::ConsoleLog,      "console-log"},
    {MessageType::ConsoleLogReply, "console-log-reply"},
    {MessageType::ClearConsoleLog, "clear-console-log"},
    {MessageType::Subscribe,       "subscribe"},
    {MessageType::Event,           "event"},
    {MessageType::Replug,          "replug"},
    {MessageType::ReplugNodes,     "replug-nodes"},
    {MessageType::KeepLimits,      "keep-limits"},
    {MessageType::ReplugProxies,   "replug-proxies"},
    {MessageType::EnterRunning,    "enter-running"},
    {MessageType::EnterStopped,    "enter-stopped"},
    {MessageType::FileOpen,        "file-open"},
    {MessageType::FileStat,        "file-stat"},
    {MessageType::FileList,        "file-list"},
    {MessageType::FileMakeDir,     "file-make-dir"},
    {MessageType::FileRemove,      "file-remove"},
    {MessageType::FileRename,      "file-rename"},
    {MessageType::FileSymlink,     "file-symlink"},
    {MessageType::FileReadLink,    "file-read-link"},
    {MessageType::FileChange,      "file-change"},
    {MessageType::FileReply,       "file-reply"},
    {MessageType::FileMount,       "file-mount"},
    {MessageType::FileRestore,     "file-restore"},
    {MessageType::FileDropRestore, "file-drop-restore"},
    {MessageType::FileSftp, "file-sftp"},
    {MessageType::FileTake, "file-take"},
    {MessageType::FileGive, "file-give"},
    {MessageType::ProxyServe,      "proxy-serve"},
    {MessageType::ProxyListener,   "proxy-listener"},
};
// clang-format on

} // namespace

std::string_view messageName(MessageType type)
{
    for (const MessageRow &row : kMessages)
        if (row.type == type)
            return row.name;
    return "unknown";
}

std::string_view reasonName(MonitorEvent::Reason reason)
{
    switch (reason) {
    case MonitorEvent::Reason::None:
        break;
    case MonitorEvent::Reason::Stopped:
        return "stopped";
    case MonitorEvent::Reason::Rebooting:
        return "rebooting";
    case MonitorEvent::Reason::Killed:
        return "killed";
    case MonitorEvent::Reason::Failed:
        return "failed";
    }
    return "none";
}

} // namespace lxmgr::spec
