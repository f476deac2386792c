// lxmgr-tunnel: TLS for the daemon and for the client, in a process of its own. What strangers send is taken apart here, by a process
// that is nobody and sees no file, and not by the daemon, which is root.
#include "base/log.h"
#include "tls/certificate.h"
#include "tunnel/control.h"
#include "tunnel/dial.h"
#include "tunnel/gate.h"

#include <QCoreApplication>
#include <QSocketNotifier>
#include <QSslSocket>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace
{

using namespace lxmgr;
using namespace lxmgr::tunnel;

constexpr int kControl = 3;
constexpr uid_t kNobody = 65534;

/// From here on this process may do nothing but talk over the sockets it has. Dumpable 0 (which a change of ids brings too): nobody
/// else who is nobody may look at the key.
Status becomeNobody()
{
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return Error::fromErrno(errno, "prctl(PR_SET_NO_NEW_PRIVS)");
    if (::geteuid() == 0) {
        if (::setgroups(0, nullptr) < 0 || ::setresgid(kNobody, kNobody, kNobody) < 0 || ::setresuid(kNobody, kNobody, kNobody) < 0)
            return Error::fromErrno(errno, "become nobody");
    }
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return Error::fromErrno(errno, "prctl(PR_SET_DUMPABLE)");
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    return {};
}

/// Before the ids change: afterwards no file that this loads at its first use could be read for certain.
Status loadTls()
{
    if (!QSslSocket::supportsSsl())
        return Error(Code::Unsupported, "Qt finds no OpenSSL here (install libssl3)");
    return {};
}

class Program
{
public:
    Program() : m_control(Fd(kControl)), m_orders(kControl, QSocketNotifier::Read)
    {
        QObject::connect(&m_orders, &QSocketNotifier::activated, &m_orders, [this] { take(); });
    }

private:
    void take()
    {
        Result<Order> order = m_control.receive();
        if (!order) {
            if (order.error().code != Code::Unavailable)
                return m_control.fail(order.error());
            m_orders.setEnabled(false);
            return QCoreApplication::quit();
        }
        if (const Status done = obey(std::move(*order)); !done)
            m_control.fail(done.error());
    }

    Status obey(Order order)
    {
        const api::TunnelRequest &request = order.request;
        if (request.op == "connect") {
            if (order.fds.size() != 1)
                return Error(Code::Invalid, "connect takes one socket");
            m_dialler.dial(request, std::move(order.fds.front()), [this](const Status &done) { done ? m_control.reply({}) : m_control.fail(done.error()); });
        } else if (request.op == "certificate") {
            askCertificate(request, [this](const Result<std::string> &pem) { pem ? m_control.reply({{}, {}, *pem, {}, {}}) : m_control.fail(pem.error()); });
        } else if (request.op == "identity") {
            m_control.reply({{}, {}, TRY(ownIdentity(request.folder)).certificate, {}, {}});
        } else if (request.op == "fingerprint") {
            m_control.reply({{}, {}, {}, TRY(tls::fingerprintOf(request.certificate)), {}});
        } else if (request.op == "nobody") {
            TRY(loadTls());
            (void)authorities(); // they may lie where nobody cannot read
            TRY(becomeNobody());
            m_control.reply({});
        } else if (request.op == "serve") {
            TRY(loadTls());
            m_gate = TRY(Gate::open(m_control, request.certificate, request.key, std::move(order.fds)));
            TRY(becomeNobody());
            m_control.reply({});
        } else if (request.op == "retire" && m_gate) {
            m_gate->retire();
        } else {
            return Error(Code::Invalid, "lxmgr-tunnel knows no " + request.op);
        }
        return {};
    }

    Control m_control;
    QSocketNotifier m_orders;
    std::unique_ptr<Gate> m_gate;
    Dialler m_dialler;
};

} // namespace

int main(int argc, char **argv)
{
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(kControl, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
        log::error("lxmgr-tunnel is run by lxmgr and lxmgrd, not by hand");
        return 2;
    }
    ::fcntl(kControl, F_SETFD, FD_CLOEXEC);
    std::signal(SIGPIPE, SIG_IGN);
    QCoreApplication application(argc, argv);
    Program program;
    return QCoreApplication::exec();
}
