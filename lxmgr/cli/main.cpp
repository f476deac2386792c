// lxmgr: parses the command line, runs one command, prints an error as one line.
#include "base/text.h"
#include "cli/context.h"
#include "cli/help.h"
#include "cli/parse.h"

#include <cstdio>
#include <string>
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

int run(const std::vector<std::string> &arguments)
{
    const Result<cli::Invocation> invocation = cli::parseCommandLine(arguments);
    if (!invocation)
        return fail(invocation.error());
    cli::Context context(Paths::fromEnvironment(), invocation->globals);
    Result<int> status = 0;
    if (invocation->globals.help)
        context.print(cli::helpText(invocation->topic));
    else
        status = invocation->command->run(context, invocation->arguments);
    const Status written = context.flush();
    if (!status)
        return fail(status.error());
    return written ? *status : fail(written.error());
}

} // namespace

int main(int argc, char **argv) { return run({argv + 1, argv + argc}); }
