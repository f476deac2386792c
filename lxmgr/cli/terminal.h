// The user's terminal: size, raw mode, and how much room text takes on it.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <termios.h>

namespace lxmgr::cli
{

bool isTerminal(int fd);

struct Size {
    int width = 80;
    int height = 24;
};
Size terminalSize(int fd);

/// Columns that UTF-8 text takes: wide characters two, combining ones none.
std::size_t displayWidth(std::string_view text);
/// The beginning of `text` that takes at most `columns`.
std::string clipped(std::string_view text, std::size_t columns);

/// Every key goes through untouched while this lives.
class RawMode
{
public:
    explicit RawMode(int fd);
    ~RawMode();
    RawMode(const RawMode &) = delete;
    RawMode &operator=(const RawMode &) = delete;

private:
    int m_fd;
    bool m_changed = false;
    termios m_before{};
};

/// Asks "<question> (yes/no)?" on standard error; true for yes.
bool confirmed(const std::string &question);

/// Opens `text` in $VISUAL, $EDITOR or vi and gives back what was saved. `suffix` (".yaml") helps the editor.
Result<std::string> editText(const std::string &text, const std::string &suffix);
/// All of standard input, at most 16 MiB.
Result<std::string> readStandardInput();

} // namespace lxmgr::cli
