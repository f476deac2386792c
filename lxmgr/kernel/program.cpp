#include "kernel/program.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::program
{

namespace
{

constexpr int kFirstFree = 10; ///< Copies of descriptors are made from here, clear of those a program is born with.

/// Signals as a program expects them, whatever this thread blocks; a session of its own, so that a terminal's ^C is not
/// its business.
class Attributes
{
public:
    Attributes()
    {
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_init(&m_attributes);
        ::posix_spawnattr_setsigmask(&m_attributes, &none);
        ::posix_spawnattr_setsigdefault(&m_attributes, &all);
        ::posix_spawnattr_setflags(&m_attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    }
    ~Attributes() { ::posix_spawnattr_destroy(&m_attributes); }
    Attributes(const Attributes &) = delete;
    Attributes &operator=(const Attributes &) = delete;
    posix_spawnattr_t *get() { return &m_attributes; }

private:
    posix_spawnattr_t m_attributes;
};

} // namespace

Result<Pipe> Pipe::create()
{
    int ends[2];
    TRY(sys::call("pipe2", "", [&] { return ::pipe2(ends, O_CLOEXEC); }));
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

FileActions::FileActions() { ::posix_spawn_file_actions_init(&m_actions); }
FileActions::~FileActions() { ::posix_spawn_file_actions_destroy(&m_actions); }

Status FileActions::inherit(const Fd &from, int as)
{
    m_copies.push_back(TRY(sys::callFd("fcntl", {}, [&] { return ::fcntl(from.get(), F_DUPFD_CLOEXEC, kFirstFree); })));
    if (const int errnum = ::posix_spawn_file_actions_adddup2(&m_actions, m_copies.back().get(), as))
        return Error::fromErrno(errnum, "posix_spawn_file_actions_adddup2");
    return {};
}

Result<pid_t> spawn(const std::vector<std::string> &argv, const std::vector<std::string> &environment,
                    FileActions &actions)
{
    std::vector<char *> words, entries;
    for (const std::string &word : argv)
        words.push_back(const_cast<char *>(word.c_str()));
    for (const std::string &entry : environment)
        entries.push_back(const_cast<char *>(entry.c_str()));
    words.push_back(nullptr);
    entries.push_back(nullptr);
    Attributes attributes;
    pid_t pid = -1;
    const int errnum =
        ::posix_spawn(&pid, words[0], &actions.m_actions, attributes.get(), words.data(), entries.data());
    actions.m_copies.clear(); // or the end of a pipe that only the program is to hold would stay open
    if (errnum != 0)
        return Error::fromErrno(errnum, "run", argv[0]);
    return pid;
}

int waitFor(pid_t pid)
{
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

Result<Output> run(const std::vector<std::string> &argv, const std::vector<std::string> &environment, Errors errors)
{
    Pipe output = TRY(Pipe::create());
    const Fd null = TRY(sys::open("/dev/null", O_RDWR));
    // A file rather than a second pipe: nobody need read it while the program runs.
    const Fd apart = errors == Errors::Apart ? TRY(sys::memfd_create("errors", MFD_CLOEXEC)) : Fd();
    FileActions actions;
    TRY(actions.inherit(null, STDIN_FILENO));
    TRY(actions.inherit(output.write, STDOUT_FILENO));
    TRY(actions.inherit(apart ? apart : errors == Errors::Keep ? output.write : null, STDERR_FILENO));
    const pid_t pid = TRY(spawn(argv, environment, actions));
    output.write.reset();
    auto text = files::readAll(output.read, 1 << 20);
    output.read.reset();
    Output ended{waitFor(pid), {}, {}};
    ended.text = TRY(std::move(text));
    if (apart) {
        TRY(sys::call("lseek", "", [&] { return ::lseek(apart.get(), 0, SEEK_SET); }));
        ended.errors = TRY(files::readAll(apart, 1 << 20));
    }
    return ended;
}

Result<std::string> find(const std::string &name)
{
    for (const char *folder : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"})
        if (const std::string path = folder + name; ::access(path.c_str(), X_OK) == 0)
            return path;
    return Error(Code::NotFound, "the program " + quoted(name) + " is not installed");
}

} // namespace lxmgr::program
