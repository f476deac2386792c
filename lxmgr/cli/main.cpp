// lxmgr: parses the command line, runs one command, prints an error as one line.
#include "base/text.h"
#include "cli/context.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "cli/remote_words.h"

#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace
{

using namespace lxmgr;

int fail(const Error &error)
{
    const std::string line = "Error: " + escaped(error.message) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
    return codeInfo(error.code).exitStatus;
}

/// The command, on the host that its words name.
Result<int> carryOut(cli::Context &context, cli::Invocation &invocation)
{
    const cli::Command &command = *invocation.command;
    if (cli::asksServer(command))
        TRY(context.use(TRY(cli::takeRemotes(command, invocation.arguments, *TRY(context.remotes())))));
    return command.run(context, invocation.arguments);
}

int run(const std::vector<std::string> &arguments)
{
    Result<cli::Invocation> invocation = cli::parseCommandLine(arguments);
    if (!invocation)
        return fail(invocation.error());
    cli::Context context(Paths::fromEnvironment(), invocation->globals);
    Result<int> status = 0;
    if (invocation->globals.help)
        context.print(cli::helpText(invocation->topic));
    else
        status = carryOut(context, *invocation);
    const Status written = context.flush();
    if (!status)
        return fail(status.error());
    return written ? *status : fail(written.error());
}

/// A caller may have closed standard streams: what is opened next would be taken for them.
void openClosedStreams()
{
    while (true) {
        const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd > STDERR_FILENO)
            ::close(fd);
        if (fd < 0 || fd > STDERR_FILENO)
            return;
        (void)::fcntl(fd, F_SETFD, 0); // what is started has them too
    }
}

} // namespace

int main(int argc, char **argv)
{
    openClosedStreams();
    return run({argv + 1, argv + argc});
}
