// Errors: a closed set of codes (one table gives wire and exit status) and a message that grows context on the way up.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

namespace lxmgr
{

enum class Code {
    Internal,
    Invalid,
    NotFound,
    AlreadyExists,
    WrongState,
    Forbidden,
    Unavailable,
    Unsupported,
    NoSpace,
    Timeout,
    Cancelled,
    Precondition,
    Corrupt,
    Usage,
};

struct CodeInfo {
    Code code;
    std::string_view name;
    int httpStatus;
    int exitStatus;
    std::string_view meaning;
};

// clang-format off
inline constexpr CodeInfo kCodes[] = {
    {Code::Internal,      "internal",       500, 1,  "Something failed that should not; the message says what."},
    {Code::Invalid,       "invalid",        400, 4,  "A name, key or value is not acceptable; nothing was changed."},
    {Code::NotFound,      "not-found",      404, 3,  "No such object in this project."},
    {Code::AlreadyExists, "already-exists", 409, 5,  "The name is taken."},
    {Code::WrongState,    "wrong-state",    400, 6,  "The object is not in a state that allows this."},
    {Code::Forbidden,     "forbidden",      403, 7,  "The caller may not do this."},
    {Code::Unavailable,   "unavailable",    503, 8,  "The daemon, a mirror or a helper cannot be reached."},
    {Code::Unsupported,   "unsupported",    400, 9,  "This host, kernel or version cannot do it; the message says what is missing."},
    {Code::NoSpace,       "no-space",       500, 10, "The disk or a quota is full."},
    {Code::Timeout,       "timeout",        400, 11, "It did not happen in the time given."},
    {Code::Cancelled,     "cancelled",      400, 12, "Somebody cancelled it."},
    {Code::Precondition,  "precondition",   412, 13, "The object changed since it was read."},
    {Code::Corrupt,       "corrupt",        500, 14, "Stored data fails its checks."},
    {Code::Usage,         "usage",          400, 2,  "The command line is not understood."},
};
// clang-format on

constexpr const CodeInfo &codeInfo(Code code)
{
    for (const CodeInfo &info : kCodes)
        if (info.code == code)
            return info;
    return kCodes[0];
}

/// What failed and why. `errnum` is the errno of the system call at the bottom, 0 where none was involved.
struct [[nodiscard]] Error {
    Code code = Code::Internal;
    int errnum = 0;
    std::string message;

    Error() = default;
    Error(Code c, std::string text, int e = 0) : code(c), errnum(e), message(std::move(text)) {}

    /// "open '/x': No such file or directory". ENOSPC and EDQUOT become NoSpace, all else stays Internal (see `as`).
    static Error fromErrno(int errnum, std::string_view call, std::string_view object = {});

    /// The same error with `context` in front: "context: message".
    Error in(std::string_view context) &&
    {
        message.insert(0, ": ");
        message.insert(0, context);
        return std::move(*this);
    }
    /// The same error under a code given by someone who knows what it means here.
    Error as(Code c) &&
    {
        code = c;
        return std::move(*this);
    }
    /// The same error with what the user can do about it: "message (hint)".
    Error hint(std::string_view text) &&
    {
        message.append(" (").append(text).append(")");
        return std::move(*this);
    }
};

} // namespace lxmgr
