// Exec whose streams are pipes of the client's: the guest reads and writes them itself, and the daemon sees none of the bytes.
#pragma once

#include "api/execution.h"
#include "daemon/context.h"

#include <memory>
#include <vector>

namespace lxmgr::daemon
{

/// Invalid unless `fd` is a pipe(2) that can be read (O_RDONLY) or written (O_WRONLY). Nothing else of the host's is handed into
/// a guest: no file, folder, terminal or named pipe, whose owner would have to live with what a guest does to it.
Status checkPipe(const Fd &fd, int access, std::string_view what);

/// Standard input, output and error as pipes, and a SOCK_SEQPACKET socket; Invalid says which is something else.
Status checkPassedStreams(const api::InstanceExecPost &post, const std::vector<Fd> &fds);
/// Runs the command on them; `task` ends with it. Messages on the socket are as on a control websocket, its hang-up kills.
void execPassed(Context &context, const instances::InstanceKey &key, const spec::ExecRequest &request, std::vector<Fd> fds,
                const std::shared_ptr<Task> &task);

/// The end as clients expect it: any exit code is a success, a command that could not be run a failure with 126 or 127.
Status execResult(const spec::ExecExit &exit);

} // namespace lxmgr::daemon
