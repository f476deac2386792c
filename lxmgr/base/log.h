// Log lines for the programs that may log (daemon, monitor, cli); libraries return errors instead.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace lxmgr::log
{

enum class Level { Debug, Info, Warning, Error };

std::string_view levelName(Level level);
/// Lines below `level` are dropped. Default: Info.
void setLevel(Level level);
Level level();
/// Also hands each line to `sink` (the daemon's event stream). Any thread.
void setSink(std::function<void(Level, const std::string &)> sink);

/// One line on standard error; control bytes are escaped, length is bounded to 16 KiB.
void write(Level level, std::string_view text);

inline void debug(std::string_view text) { write(Level::Debug, text); }
inline void info(std::string_view text) { write(Level::Info, text); }
inline void warning(std::string_view text) { write(Level::Warning, text); }
inline void error(std::string_view text) { write(Level::Error, text); }

} // namespace lxmgr::log
