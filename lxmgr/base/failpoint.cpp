#include "base/failpoint.h"

#if LXMGR_FAILPOINTS

#include "base/fd.h"
#include "base/text.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace lxmgr
{

namespace
{

struct Rule {
    std::string point;
    std::string action;
    std::string argument;
};

std::vector<Rule> readRules()
{
    std::vector<Rule> rules;
    const char *text = ::getenv("LXMGR_FAIL");
    for (const std::string &item : split(text ? text : "", ',')) {
        const std::size_t equals = item.find('=');
        if (equals == std::string::npos)
            continue;
        const std::string action = item.substr(equals + 1);
        const std::size_t colon = action.find(':');
        rules.push_back({item.substr(0, equals), action.substr(0, colon),
                         colon == std::string::npos ? "" : action.substr(colon + 1)});
    }
    return rules;
}

int errnoByName(std::string_view name)
{
    struct Row {
        std::string_view name;
        int value;
    };
    static constexpr Row kRows[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM},
                                    {"EMFILE", EMFILE}, {"EBUSY", EBUSY},   {"EPERM", EPERM},
                                    {"ENOENT", ENOENT}, {"EEXIST", EEXIST}, {"EAGAIN", EAGAIN}};
    for (const Row &row : kRows)
        if (row.name == name)
            return row.value;
    return EIO;
}

void appendName(const std::string &file, std::string_view name)
{
    const Fd log(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    const std::string line = std::string(name) + "\n";
    // One write(2) with O_APPEND: lines of several processes do not mix. A test sees a missing line by itself.
    [[maybe_unused]] const ssize_t written = ::write(log.get(), line.data(), line.size());
}

Status act(const Rule &rule, std::string_view point)
{
    if (rule.action == "kill") {
        ::kill(::getpid(), SIGKILL);
        ::_exit(128 + SIGKILL); // PID 1 of a pid namespace is deaf to itself
    }
    if (rule.action == "hang")
        for (;;)
            ::pause();
    if (rule.action == "sleep")
        std::this_thread::sleep_for(std::chrono::milliseconds(std::atoll(rule.argument.c_str())));
    if (rule.action == "error" && rule.argument.empty())
        return Error(Code::Internal, "failpoint " + quoted(point));
    if (rule.action == "error")
        return Error::fromErrno(errnoByName(rule.argument), "failpoint", point);
    return {};
}

} // namespace

Status failpoint(std::string_view name)
{
    static const std::vector<Rule> rules = readRules();
    for (const Rule &rule : rules) {
        if (rule.point == "*" && rule.action == "list")
            appendName(rule.argument, name);
        else if (rule.point == name)
            TRY(act(rule, name));
    }
    return {};
}

} // namespace lxmgr

#endif
