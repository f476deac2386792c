// Gate: takes connections from the network, shakes hands over TLS 1.3, and passes each on as a local stream socket together with the
// certificate its client has shown. Whether that certificate is known is for the daemon to say.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "tunnel/control.h"
#include "tunnel/pipe.h"

#include <QSslConfiguration>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lxmgr::tunnel
{

class Gate
{
public:
    /// Accepts on `listeners` from now on.
    static Result<std::unique_ptr<Gate>> open(Control &control, const std::string &certificate, const std::string &key, std::vector<Fd> listeners);
    ~Gate();

    /// Accepts no more; the process ends with the last connection.
    void retire();

private:
    class Listener;
    struct Visitor;

    explicit Gate(Control &control);
    void arrived(qintptr socket);
    void shaken(Visitor *visitor);
    void drop(Visitor *visitor);
    void pipeEnded(Pipe *pipe);

    Control &m_control;
    QSslConfiguration m_configuration;
    std::vector<std::unique_ptr<Listener>> m_listeners;
    std::map<Visitor *, std::unique_ptr<Visitor>> m_visitors; ///< Still shaking hands.
    std::map<Pipe *, std::unique_ptr<Pipe>> m_pipes;
    bool m_retired = false;
};

} // namespace lxmgr::tunnel
