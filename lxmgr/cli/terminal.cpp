#include "cli/terminal.h"

#include "base/fd.h"
#include "base/text.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <fcntl.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace lxmgr::cli
{

namespace
{

constexpr std::size_t kMostInput = std::size_t{16} << 20;

struct Range {
    char32_t first;
    char32_t last;
};
// Unicode 15 in the coarse: what terminals draw two columns wide, and marks that take no column of their own.
constexpr Range kWide[] = {
    {0x1100,  0x115F },
    {0x2E80,  0x303E },
    {0x3041,  0x33FF },
    {0x3400,  0x4DBF },
    {0x4E00,  0x9FFF },
    {0xA000,  0xA4CF },
    {0xAC00,  0xD7A3 },
    {0xF900,  0xFAFF },
    {0xFE30,  0xFE6F },
    {0xFF00,  0xFF60 },
    {0xFFE0,  0xFFE6 },
    {0x1F300, 0x1F64F},
    {0x1F900, 0x1F9FF},
    {0x20000, 0x3FFFD}
};
constexpr Range kNarrow[] = {{0x0300, 0x036F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};

template <std::size_t N> bool within(char32_t character, const Range (&ranges)[N])
{
    for (const Range &range : ranges)
        if (character >= range.first && character <= range.last)
            return true;
    return false;
}

/// The next character and how many bytes it takes; broken UTF-8 counts byte by byte.
std::pair<char32_t, std::size_t> nextCharacter(std::string_view text)
{
    const auto first = static_cast<unsigned char>(text[0]);
    const std::size_t length = first < 0x80 ? 1 : first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (length > text.size())
        return {first, 1};
    char32_t character = length == 1 ? first : first & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i)
        character = (character << 6) | (static_cast<unsigned char>(text[i]) & 0x3FU);
    return {character, length};
}

std::size_t columnsOf(char32_t character)
{
    if (character < 0x300)
        return 1;
    return within(character, kNarrow) ? 0 : within(character, kWide) ? 2 : 1;
}

/// Removed on every way out.
struct ScratchFile {
    std::string path;
    Fd fd;
    ~ScratchFile()
    {
        if (!path.empty())
            ::unlink(path.c_str());
    }
};

std::string editor()
{
    for (const char *name : {"VISUAL", "EDITOR"})
        if (const char *value = std::getenv(name); value && *value)
            return value;
    return "vi";
}

Result<std::string> readAll(int fd, const std::string &what)
{
    std::string text;
    char buffer[65536];
    for (;;) {
        const ssize_t got = ::read(fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return Error::fromErrno(errno, "read", what);
        if (got == 0)
            return text;
        if (text.size() + static_cast<std::size_t>(got) > kMostInput)
            return Error(Code::Invalid, what + " is larger than 16 MiB");
        text.append(buffer, static_cast<std::size_t>(got));
    }
}

/// $EDITOR may have arguments and is the user's own, so the user's shell takes it apart, as git does.
Status runEditor(const std::string &path)
{
    const std::string command = editor();
    std::string script = command + " \"$@\"";
    std::string shellName = "sh";
    std::string dashC = "-c";
    std::string file = path;
    std::string self = command;
    char *const argv[] = {shellName.data(), dashC.data(), script.data(), self.data(), file.data(), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, argv, environ);
    if (error != 0)
        return Error::fromErrno(error, "start editor", command);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return Error(Code::Cancelled,
                     "the editor " + quoted(command) + " failed, nothing was changed (set EDITOR to another one)");
    return {};
}

} // namespace

bool isTerminal(int fd) { return ::isatty(fd) == 1; }

Size terminalSize(int fd)
{
    winsize window{};
    if (::ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0)
        return {window.ws_col, window.ws_row};
    return {};
}

std::size_t displayWidth(std::string_view text)
{
    std::size_t columns = 0;
    while (!text.empty()) {
        const auto [character, length] = nextCharacter(text);
        columns += columnsOf(character);
        text.remove_prefix(length);
    }
    return columns;
}

std::string clipped(std::string_view text, std::size_t columns)
{
    std::size_t taken = 0;
    std::size_t used = 0;
    while (taken < text.size()) {
        const auto [character, length] = nextCharacter(text.substr(taken));
        if (used + columnsOf(character) > columns)
            break;
        used += columnsOf(character);
        taken += length;
    }
    return std::string(text.substr(0, taken));
}

RawMode::RawMode(int fd) : m_fd(fd)
{
    if (::tcgetattr(fd, &m_before) < 0)
        return;
    termios raw = m_before;
    ::cfmakeraw(&raw);
    m_changed = ::tcsetattr(fd, TCSADRAIN, &raw) == 0;
}

RawMode::~RawMode()
{
    if (m_changed)
        ::tcsetattr(m_fd, TCSADRAIN, &m_before);
}

bool confirmed(const std::string &question)
{
    std::fprintf(stderr, "%s (yes/no)? ", escaped(question).c_str());
    char answer[16] = "";
    const bool read = std::fgets(answer, sizeof answer, stdin) != nullptr;
    const std::string word = lower(trimmed(answer));
    return read && (word == "yes" || word == "y");
}

Result<std::string> editText(const std::string &text, const std::string &suffix)
{
    const char *temporary = std::getenv("TMPDIR");
    ScratchFile file;
    std::string pattern = std::string(temporary && *temporary ? temporary : "/tmp") + "/lxmgr-XXXXXX" + suffix;
    file.fd = Fd(::mkostemps(pattern.data(), static_cast<int>(suffix.size()), O_CLOEXEC));
    if (!file.fd)
        return Error::fromErrno(errno, "create", pattern);
    file.path = pattern;
    if (::write(file.fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return Error::fromErrno(errno, "write", pattern);
    TRY(runEditor(file.path));
    // Editors replace the file, so it is opened again by its name.
    const Fd edited(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!edited)
        return Error::fromErrno(errno, "open", file.path);
    return readAll(edited.get(), file.path);
}

Result<std::string> readStandardInput() { return readAll(STDIN_FILENO, "standard input"); }

} // namespace lxmgr::cli
