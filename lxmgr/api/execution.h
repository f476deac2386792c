// Commands and consoles of instances as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/types.h"

#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

/// POST …/exec
struct InstanceExecPost {
    std::vector<std::string> command;
    bool waitForWebsocket = false, interactive = false, recordOutput = false;
    bool passStreams = false; ///< lxmgr_passed_streams: they come as descriptors with the request.
    StringMap environment;
    int width = 0, height = 0;
    std::uint32_t user = 0, group = 0;
    std::string cwd;
};
template <> struct Fields<InstanceExecPost> {
    using T = InstanceExecPost;
    static constexpr auto rows = std::tuple{
        Field{"command", &T::command},
        Field{"wait-for-websocket", &T::waitForWebsocket},
        Field{"interactive", &T::interactive},
        Field{"environment", &T::environment},
        Field{"width", &T::width},
        Field{"height", &T::height},
        Field{"record-output", &T::recordOutput},
        Field{"lxmgr-pass-streams", &T::passStreams, OmitEmpty{}},
        Field{"user", &T::user},
        Field{"group", &T::group},
        Field{"cwd", &T::cwd},
    };
};

/// A frame on a control socket: {"command":"window-resize","args":{"width":"80","height":"24"}} or {"command":"signal","signal":15}.
struct ControlMessage {
    std::string command;
    StringMap args;
    int signal = 0;
};
template <> struct Fields<ControlMessage> {
    using T = ControlMessage;
    static constexpr auto rows = std::tuple{Field{"command", &T::command}, Field{"args", &T::args, OmitEmpty{}},
                                            Field{"signal", &T::signal, OmitEmpty{}}};
};

/// POST …/console
struct InstanceConsolePost {
    int width = 0, height = 0;
    std::string type; ///< "" or "console"
    bool force = false;
};
template <> struct Fields<InstanceConsolePost> {
    using T = InstanceConsolePost;
    static constexpr auto rows = std::tuple{Field{"width", &T::width}, Field{"height", &T::height},
                                            Field{"type", &T::type}, Field{"force", &T::force}};
};

} // namespace lxmgr::api
