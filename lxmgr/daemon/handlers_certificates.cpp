// Whom the server trusts: certificates, and the tokens by which strangers bring theirs.
#include "daemon/context.h"
#include "daemon/https.h"
#include "daemon/file_sessions.h"
#include "daemon/lists.h"
#include "daemon/trust.h"

#include "api/certificates.h"
#include "api/envelope.h"
#include "api/operations.h"
#include "base/base64.h"
#include "base/text.h"
#include "config/server_config.h"
#include "store/server_config.h"
#include "tls/certificate.h"
#include "tls/password.h"

#include <QTimer>

#include <atomic>
#include <mutex>

namespace lxmgr::daemon
{

namespace
{

std::string urlOfCertificate(const std::string &fingerprint) { return api::routePath(api::RouteId::CertificateGet, {fingerprint}); }

void publish(Context &context, const Request &request, const char *action, const std::string &fingerprint)
{
    api::Lifecycle event;
    event.action = action;
    event.source = urlOfCertificate(fingerprint);
    event.requestor = request.peer.requestor();
    context.events.hostLifecycle(event);
}

api::Certificate toApi(const store::Certificate &row)
{
    return {row.fingerprint, row.name, row.description, row.type, row.certificate, row.restricted, row.projects};
}

std::string etagOf(const store::Certificate &row) { return api::etagOf(api::toJson(toApi(row))); }

/// A restricted caller sees his own certificate and knows of no other.
bool maySee(const Request &request, const store::Certificate &row)
{
    return request.caller.trusted() || row.fingerprint == request.peer.fingerprint;
}

Result<store::Certificate> certificateOf(Context &context, const Request &request)
{
    store::Certificate row = TRY(context.trust.find(lower(request.param("fingerprint"))));
    if (!maySee(request, row))
        return Error(Code::NotFound, "Certificate not found");
    return row;
}

Status list(Context &context, Request &request, const Responder &responder)
{
    auto rows = context.trust.list();
    std::erase_if(rows, [&](const store::Certificate &row) { return !maySee(request, row); });
    sendList(request, responder, rows, [](const store::Certificate &row) { return urlOfCertificate(row.fingerprint); }, toApi);
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const store::Certificate row = TRY(certificateOf(context, request));
    responder.sync(api::toJson(toApi(row)), etagOf(row));
    return {};
}

Status checkAttributes(const store::Certificate &row)
{
    if (row.type != "client" && row.type != "metrics")
        return Error(Code::Unsupported, "certificate type " + quoted(row.type) + " is not supported (client, metrics)");
    if (row.name.empty() || row.name.size() > 255 || row.name.find_first_of("\n\r\t") != std::string::npos)
        return Error(Code::Invalid, "the certificate's name is empty, longer than 255 bytes or not one line");
    if (!row.projects.empty() && !row.restricted)
        return Error(Code::Invalid, "projects are given, but the certificate is not restricted (restricted: true)");
    return {};
}

Result<store::Certificate> fromPost(Context &context, const api::CertificatesPost &post)
{
    store::Certificate row;
    row.type = post.type.empty() ? "client" : post.type;
    row.name = post.name;
    row.description = post.description;
    row.restricted = post.restricted;
    row.projects = post.projects.value_or(std::vector<std::string>{});
    std::ranges::sort(row.projects);
    for (const std::string &project : row.projects)
        TRY(store::findProject(context.db, project));
    return row;
}

Status add(Context &context, const Request &request, const Responder &responder, store::Certificate row, const std::string &certificate)
{
    row.certificate = TRY(tls::toPem(certificate));
    row.fingerprint = TRY(tls::fingerprintOf(row.certificate));
    TRY(tls::checkTime(row.certificate));
    if (row.name.empty())
        row.name = tls::commonNameOf(row.certificate);
    if (row.name.empty())
        row.name = row.fingerprint.substr(0, 12);
    TRY(checkAttributes(row));
    TRY(context.trust.add(row));
    publish(context, request, "certificate-created", row.fingerprint);
    responder.created(urlOfCertificate(row.fingerprint));
    return {};
}

// --- tokens ---

/// core.remote_token_expiry, or a day.
Result<api::Time> tokenExpiry(Context &context)
{
    const config::ServerConfig config = TRY(config::parseServerConfig(TRY(store::serverConfig(context.db))));
    const std::time_t now = std::time(nullptr);
    return api::Time::fromUnix(config.remoteTokenExpiry ? config.remoteTokenExpiry->after(now) : now + 24 * 60 * 60);
}

Status makeToken(Context &context, const Request &request, const Responder &responder, const api::CertificatesPost &post, const store::Certificate &row)
{
    TRY(checkAttributes(row));
    const std::vector<std::string> addresses = context.https.addresses();
    if (addresses.empty())
        return Error(Code::WrongState, "a token is of no use: this server is not on the network (lxmgr config set core.https_address=:8443)");
    const api::Time expires = TRY(tokenExpiry(context));
    TaskOptions options;
    options.description = "Executing operation";
    options.operationClass = "token";
    options.mayCancel = true;
    options.metadata = api::Json::object();
    options.metadata["secret"] = newSecret();
    options.metadata["fingerprint"] = context.https.fingerprint();
    options.metadata["addresses"] = api::Json(api::Json::Array(addresses.begin(), addresses.end()));
    options.metadata["expiresAt"] = expires.format();
    options.metadata["request"] = TRY(api::Json::parse(api::toJson(post)));
    const auto task = context.operations.add(std::move(options));
    const std::weak_ptr<Task> weak = task;
    task->setOnCancel([weak] {
        if (const auto alive = weak.lock())
            alive->finish(Error(Code::Cancelled, "the token was used or revoked"));
    });
    const auto left = std::chrono::seconds(std::max<std::int64_t>(expires.seconds - api::Time::now().seconds, 1));
    context.server.runOnServerThread([weak, left] {
        QTimer::singleShot(left, [weak] {
            if (const auto alive = weak.lock())
                (void)!alive->cancel();
        });
    });
    publish(context, request, "certificate-token-created", context.https.fingerprint());
    responder.async(task->snapshot(), store::kDefaultProject);
    return {};
}

/// Uses the token up; of several who show it at once one gets it.
Result<api::CertificatesPost> redeem(Context &context, const std::string &text)
{
    const Error kNo(Code::Forbidden, "not authorized");
    const Result<std::string> plain = base64Decode(text);
    if (text.size() > 16384 || !plain)
        return kNo;
    const Result<api::TrustToken> token = api::fromJson<api::TrustToken>(*plain);
    if (!token)
        return kNo;
    for (const auto &task : context.operations.list()) {
        const api::Operation operation = task->snapshot();
        if (operation.operationClass != "token" || task->ended() || !task->knows(token->secret))
            continue;
        const api::Json *request = operation.metadata.find("request");
        if (!request)
            continue; // the secret of something else
        auto post = api::fromJson<api::CertificatesPost>(request->dump());
        if (!post || post->name != token->clientName || !task->useUp())
            return kNo;
        return post;
    }
    return kNo;
}

/// core.trust_password; Forbidden where none is set, too.
Status checkPassword(Context &context, const std::string &password)
{
    const config::ServerConfig config = TRY(config::parseServerConfig(TRY(store::serverConfig(context.db))));
    const bool right = !password.empty() && config.trustPassword && tls::isPassword(password, config.trustPassword->text);
    return right ? Status() : Status(Error(Code::Forbidden, "not authorized"));
}

/// However many strangers come, most of the handlers' threads stay for everybody else.
class AtTheDoor
{
public:
    static constexpr int kMost = 16;

    AtTheDoor() : m_mayWait(s_count.fetch_add(1) < kMost) {}
    ~AtTheDoor() { s_count.fetch_sub(1); }
    AtTheDoor(const AtTheDoor &) = delete;
    AtTheDoor &operator=(const AtTheDoor &) = delete;
    bool mayWait() const { return m_mayWait; }

private:
    static inline std::atomic<int> s_count = 0;
    const bool m_mayWait;
};

/// What a stranger is to be trusted with: what his token was made for, or, with the password, what he asks for.
Result<api::CertificatesPost> admit(Context &context, const std::string &address, const api::CertificatesPost &post)
{
    const AtTheDoor place;
    if (!place.mayWait())
        return Error(Code::Unavailable, "too many clients ask to be trusted at once (try again)");
    // One guess at a time: however many come together, no more are tried than are counted.
    static std::mutex oneByOne;
    const std::lock_guard lock(oneByOne);
    TRY(context.trust.checkFailures(address));
    auto meant = redeem(context, post.trustToken.empty() ? post.password : post.trustToken);
    if (meant)
        return meant;
    if (!checkPassword(context, post.password)) {
        TRY(context.trust.countFailure(address));
        return std::move(meant.error());
    }
    return post;
}

Status createByStranger(Context &context, Request &request, const Responder &responder, const api::CertificatesPost &post)
{
    if (request.peer.certificate.empty())
        return Error(Code::Invalid, "the client shows no certificate");
    if (!post.certificate.empty() && TRY(tls::fingerprintOf(TRY(tls::toPem(post.certificate)))) != request.peer.fingerprint)
        return Error(Code::Invalid, "the certificate of the request is not the one that the client shows (leave it out)");
    const api::CertificatesPost meant = TRY(admit(context, request.peer.address, post));
    store::Certificate row = TRY(fromPost(context, meant));
    if (row.name.empty())
        row.name = post.name;
    return add(context, request, responder, std::move(row), request.peer.certificate); // never one that he does not hold the key of
}

Status create(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::CertificatesPost>());
    switch (request.caller.kind) {
    case Principal::Kind::Stranger:
        return createByStranger(context, request, responder, post);
    case Principal::Kind::Trusted:
        break;
    case Principal::Kind::Restricted:
    case Principal::Kind::Metrics:
        return Error(Code::Forbidden, "not authorized");
    }
    store::Certificate row = TRY(fromPost(context, post));
    if (post.token)
        return makeToken(context, request, responder, post, row);
    if (post.certificate.empty())
        return Error(Code::Invalid, "Client is already trusted");
    return add(context, request, responder, std::move(row), post.certificate);
}

/// What was opened under the old rules is not carried on under new ones.
void endConnections(Context &context, const std::string &fingerprint)
{
    context.server.endConnectionsOf(fingerprint);
    context.fileSessions->endOf(fingerprint);
}

Status change(Context &context, Request &request, const Responder &responder)
{
    store::Certificate row = TRY(certificateOf(context, request));
    TRY(api::checkEtag(request.ifMatch(), etagOf(row)));
    const auto put = TRY(request.json<api::CertificatePut>());
    if (put.certificate && !put.certificate->empty() && TRY(tls::fingerprintOf(TRY(tls::toPem(*put.certificate)))) != row.fingerprint)
        return Error(Code::Invalid, "another certificate cannot take this one's place: add it, then remove this one");
    row.name = put.name.value_or(row.name);
    row.description = put.description.value_or(row.description);
    row.type = put.type.value_or(row.type);
    row.restricted = put.restricted.value_or(row.restricted);
    row.projects = put.projects.value_or(row.projects);
    std::ranges::sort(row.projects);
    TRY(checkAttributes(row));
    TRY(context.trust.update(row));
    endConnections(context, row.fingerprint);
    publish(context, request, "certificate-updated", row.fingerprint);
    responder.sync();
    return {};
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const store::Certificate row = TRY(certificateOf(context, request));
    TRY(context.trust.remove(row));
    publish(context, request, "certificate-deleted", row.fingerprint);
    responder.sync();
    if (request.peer.fingerprint != row.fingerprint)
        endConnections(context, row.fingerprint);
    return {};
}

/// The certificates that reach an instance; whoever is on the host may do everything, and is nobody in particular. A restricted
/// client learns of no other.
Status instanceAccess(Context &context, Request &request, const Responder &responder)
{
    const instances::InstanceKey key = keyOf(request);
    TRY(context.manager.describe(key));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const store::Certificate &certificate : context.trust.list()) {
        const bool reaches = !certificate.restricted || std::ranges::find(certificate.projects, key.project) != certificate.projects.end();
        if (certificate.type != "client" || !reaches || !(request.caller.trusted() || certificate.fingerprint == request.peer.fingerprint))
            continue;
        writer.beginObject();
        for (const auto &[name, value] : {std::pair<std::string_view, std::string_view>{"identifier", certificate.fingerprint},
                                          {"role", certificate.restricted ? "operator" : "admin"}, {"provider", "tls"}}) {
            writer.key(name);
            writer.string(value);
        }
        writer.endObject();
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceAccess, &instanceAccess},
    {api::RouteId::CertificateList, &list},     {api::RouteId::CertificateCreate, &create}, {api::RouteId::CertificateGet, &get},
    {api::RouteId::CertificatePut, &change},    {api::RouteId::CertificatePatch, &change},  {api::RouteId::CertificateDelete, &remove},
};

} // namespace

std::span<const HandlerRow> certificateHandlers() { return kRows; }

} // namespace lxmgr::daemon
