// What the helper says to the daemon while it compares: framed messages on a pipe, bounded, read as untrusted input.
// Texts are length and bytes, so that every name comes through as it is.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "diff/changes.h"

#include <optional>
#include <string>
#include <string_view>

namespace lxmgr::diff
{

inline constexpr std::size_t kMostChanges = 50'000;       ///< Listed; all are counted.
inline constexpr std::size_t kMostText = 16U << 20;       ///< Of all changes listed.
inline constexpr std::size_t kMostPackageChanges = 20'000; ///< Of one manager.
inline constexpr std::size_t kMostWarnings = 100;

/// Writes messages; many go out at once. Errors are not told: the reader is gone then, and so is the wish.
class Reporter
{
public:
    explicit Reporter(const Fd &pipe) : m_pipe(pipe) {}
    void opened(); ///< Both sides are held now, whatever becomes of their names.
    void change(const Change &change);
    void warning(const std::string &text);
    void packages(Packages packages);
    void failed(const Error &error);
    void done(); ///< With the counts.

private:
    void send(std::uint32_t kind, std::string_view body);
    void flush();
    const Fd &m_pipe;
    std::string m_buffer;
    Counts m_counts;
    std::size_t m_text = 0;
    std::size_t m_listed = 0;
    std::size_t m_warnings = 0;
};

/// Puts together what a Reporter wrote. Corrupt: it was none, or one without bounds.
class ReportReader
{
public:
    Status feed(const char *data, std::size_t size);
    bool isOpened() const { return m_opened; }
    bool isDone() const { return m_done; }
    const std::optional<Error> &error() const { return m_error; }
    Comparison take() && { return std::move(m_comparison); }

private:
    Status handle(std::uint32_t kind, std::string_view body);
    std::string m_buffer;
    Comparison m_comparison;
    std::optional<Error> m_error;
    std::size_t m_text = 0;
    bool m_opened = false;
    bool m_done = false;
};

} // namespace lxmgr::diff
