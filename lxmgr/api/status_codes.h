// Numbers and words for the state of operations and instances on the wire.
#pragma once

#include <string_view>

namespace lxmgr::api
{

enum class StatusCode : int {
    OperationCreated = 100,
    Started = 101,
    Stopped = 102,
    Running = 103,
    Cancelling = 104,
    Pending = 105,
    Starting = 106,
    Stopping = 107,
    Aborting = 108,
    Freezing = 109,
    Frozen = 110,
    Thawed = 111,
    Error = 112,
    Ready = 113,
    Success = 200,
    Failure = 400,
    Cancelled = 401,
};

struct StatusWord {
    StatusCode code;
    std::string_view word;
};

// clang-format off
inline constexpr StatusWord kStatusWords[] = {
    {StatusCode::OperationCreated, "Operation created"},
    {StatusCode::Started,          "Started"},
    {StatusCode::Stopped,          "Stopped"},
    {StatusCode::Running,          "Running"},
    {StatusCode::Cancelling,       "Cancelling"},
    {StatusCode::Pending,          "Pending"},
    {StatusCode::Starting,         "Starting"},
    {StatusCode::Stopping,         "Stopping"},
    {StatusCode::Aborting,         "Aborting"},
    {StatusCode::Freezing,         "Freezing"},
    {StatusCode::Frozen,           "Frozen"},
    {StatusCode::Thawed,           "Thawed"},
    {StatusCode::Error,            "Error"},
    {StatusCode::Ready,            "Ready"},
    {StatusCode::Success,          "Success"},
    {StatusCode::Failure,          "Failure"},
    {StatusCode::Cancelled,        "Cancelled"},
};
// clang-format on

constexpr std::string_view statusWord(StatusCode code)
{
    for (const StatusWord &row : kStatusWords)
        if (row.code == code)
            return row.word;
    return "Error";
}
/// No further change will come.
constexpr bool isFinal(int statusCode) { return statusCode >= 200; }

} // namespace lxmgr::api
