// What lxmgr-helper says to the daemon while it unpacks: framed messages on a pipe, bounded, read as untrusted input.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <string>

namespace lxmgr::images
{

enum class ReportKind : std::uint32_t {
    Progress = 1, ///< A line for people.
    Metadata = 2, ///< metadata.yaml as it stands, or as it was guessed.
    Warning = 3,  ///< Something was left out.
    Failed = 4,   ///< An Error: code name, errno and message, a line each. The last message.
    Backup = 5,   ///< backup.yaml of an exported instance.
    Hash = 6,     ///< ContentHash of an archive.
    Device = 7,   ///< A device node that the sandbox may not make.
    Done = 8,     ///< The last message of a success.
};

/// One message; longer than kLongestReport is cut. Errors are not told: the reader is gone then, and so is the wish.
void sendReport(const Fd &pipe, ReportKind kind, const std::string &text);
void sendError(const Fd &pipe, const Error &error);
Error parseError(const std::string &text);

inline constexpr std::uint32_t kLongestReport = 8 << 20;

/// Puts messages together from what a pipe gives.
class ReportReader
{
public:
    using Take = std::function<void(ReportKind kind, std::string text)>;
    /// Corrupt: not our messages.
    Status feed(const char *data, std::size_t size, const Take &take);

private:
    std::string m_buffer;
};

} // namespace lxmgr::images
