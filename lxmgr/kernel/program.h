// Programs of the host, run without a shell by posix_spawn(3): a process with threads must not fork.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <spawn.h>
#include <string>
#include <sys/types.h>
#include <vector>

namespace lxmgr::program
{

struct Pipe {
    Fd read, write;
    static Result<Pipe> create();
};

/// Which of our descriptors the program gets, and as which. They may be closed once they are inherited.
class FileActions
{
    friend Result<pid_t> spawn(const std::vector<std::string> &, const std::vector<std::string> &, FileActions &);

public:
    FileActions();
    ~FileActions();
    FileActions(const FileActions &) = delete;
    FileActions &operator=(const FileActions &) = delete;
    Status inherit(const Fd &from, int as);

private:
    posix_spawn_file_actions_t m_actions;
    std::vector<Fd> m_copies;
};

/// Starts argv[0] (a path) with `environment` and nothing else, with signals as a program expects them, in a session of
/// its own. The caller waits for it. `actions` hold nothing open any more then.
Result<pid_t> spawn(const std::vector<std::string> &argv, const std::vector<std::string> &environment,
                    FileActions &actions);
/// Waits for it; the status as waitpid(2) gives it.
int waitFor(pid_t pid);

enum class Errors { Drop, Keep, Apart };
struct Output {
    int status = 0;     ///< As waitpid(2) gives it.
    std::string text;   ///< At most 1 MiB.
    std::string errors; ///< Of Errors::Apart.
};
/// Runs it to its end and gives what it prints on standard output, and with Errors::Keep on standard error too.
Result<Output> run(const std::vector<std::string> &argv, const std::vector<std::string> &environment, Errors errors);

/// The program `name` in the folders where the host keeps programs; NotFound.
Result<std::string> find(const std::string &name);

} // namespace lxmgr::program
