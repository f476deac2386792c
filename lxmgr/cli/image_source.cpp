#include "cli/image_source.h"

#include "api/images.h"
#include "api/operations.h"
#include "api/server.h"
#include "base/text.h"
#include "client/multipart.h"
#include "http/target.h"
#include "servers/image_server.h"

#include <algorithm>
#include <cerrno>
#include <future>
#include <sys/socket.h>
#include <thread>

namespace lxmgr::cli
{

namespace
{

Result<servers::ImageServer> serverOf(Context &context, const std::string &name)
{
    const Remotes &remotes = *TRY(context.remotes());
    const Remote remote = TRY(remotes.get(name));
    return servers::ImageServer::at({remote.address, servers::Protocol::Simplestreams, TRY(remotes.certificateOf(name)), {}}, {});
}

Result<std::string> secretFor(client::Client &client, const std::string &fingerprint)
{
    const client::Answer answer = TRY(client.request("POST", client::path("/1.0/images", {fingerprint, "secret"})));
    const std::string secret = TRY(client::Client::parse<api::Operation>(answer.metadata)).metadata.text("secret");
    if (secret.empty())
        return Error(Code::Unavailable, "the server gave no secret for image " + fingerprint.substr(0, 12));
    return secret;
}

/// What comes out of one server on its way into the other. Begun on a thread of its own.
class Flow
{
public:
    static Result<std::unique_ptr<Flow>> begin(client::Client from, const std::string &fingerprint)
    {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
            return Error::fromErrno(errno, "socketpair");
        auto flow = std::make_unique<Flow>();
        flow->m_out = Fd(ends[0]);
        flow->m_thread = std::thread([flow = flow.get(), client = std::move(from), in = Fd(ends[1]), fingerprint]() mutable {
            flow->m_done = flow->pump(client, in, fingerprint);
            if (!flow->m_begun)
                flow->m_type.set_value({});
        });
        return flow;
    }
    ~Flow()
    {
        m_out.reset(); // who still writes is told
        if (m_thread.joinable())
            m_thread.join();
    }

    /// The content type of what comes; or why nothing does.
    Result<std::string> type()
    {
        std::string type = m_type.get_future().get();
        if (!type.empty())
            return type;
        return TRY(ended()), Result<std::string>(Error(Code::Unavailable, "the server sent no image"));
    }

    Result<std::size_t> read(char *buffer, std::size_t size)
    {
        ssize_t got = 0;
        do
            got = ::recv(m_out.get(), buffer, size, 0);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            return Error::fromErrno(errno, "read");
        if (got == 0)
            TRY(ended()); // cut off: what arrived must not look complete
        return static_cast<std::size_t>(got);
    }

private:
    Status ended()
    {
        if (m_thread.joinable())
            m_thread.join();
        return m_done;
    }

    Status pump(client::Client &client, Fd &in, const std::string &fingerprint)
    {
        client::Request request;
        request.target = client.target(client::path("/1.0/images", {fingerprint, "export"}));
        request.sink = [&](const http::ResponseHead &head) -> client::Sink {
            m_begun = true;
            const std::string type(head.headers.value("Content-Type"));
            m_type.set_value(type.empty() ? "application/octet-stream" : type);
            return [&in](std::string_view piece) { return client::sendAll(in, piece); };
        };
        const auto response = client.exchange(request);
        in.reset();
        if (!response)
            return response.error();
        return response->head.status == 200 && m_begun ? Status() : Status(client::refusal(*response));
    }

    Fd m_out;
    std::promise<std::string> m_type;
    bool m_begun = false; ///< m_type is set; the thread's own.
    std::thread m_thread;
    Status m_done;
};

} // namespace

Result<std::vector<api::Image>> imagesOfServer(Context &context, const std::string &remote)
{
    servers::ImageServer server = TRY(serverOf(context, remote));
    std::vector<api::Image> images;
    for (servers::Offer &offer : TRY_IN("remote " + quoted(remote), server.list()))
        images.push_back(std::move(offer.image));
    return images;
}

Result<api::Image> imageOfServer(Context &context, const std::string &remote, const std::string &name)
{
    servers::ImageServer server = TRY(serverOf(context, remote));
    return TRY_IN("remote " + quoted(remote), server.find(name)).image;
}

Result<std::string> fingerprintOf(client::Client &client, const std::string &image)
{
    const Result<api::ImageAliasEntry> alias = client.get<api::ImageAliasEntry>(client::path("/1.0/images/aliases", {image}));
    if (alias)
        return alias->target;
    if (alias.error().code != Code::NotFound)
        return alias.error();
    Result<api::Image> found = client.get<api::Image>(client::path("/1.0/images", {image}));
    if (found)
        return found->fingerprint;
    if (found.error().code == Code::NotFound)
        return Error(Code::NotFound, "no image is called " + quoted(image)).hint("'lxmgr image list' shows those there are");
    return found.error();
}

Result<Place> placeOf(Context &context, client::Client &client, const std::string &name)
{
    const Remotes &remotes = *TRY(context.remotes());
    const Remote remote = TRY(remotes.get(name));
    Place place;
    if (!remote.isUnix())
        place.addresses.push_back(remote.address);
    place.certificate = TRY(remotes.certificateOf(name));
    const auto server = TRY(client.get<api::Server>("/1.0"));
    if (!server.environment)
        return place; // it tells strangers nothing
    if (place.certificate.empty())
        place.certificate = server.environment->certificate;
    for (const std::string &address : server.environment->addresses)
        if (const std::string url = "https://" + address; std::ranges::find(place.addresses, url) == place.addresses.end())
            place.addresses.push_back(url);
    return place;
}

Result<ImageOrigin> originOf(Context &context, const std::string &name, const std::string &image, Want want)
{
    const Remotes &remotes = *TRY(context.remotes());
    const Remote remote = TRY(remotes.get(name));
    ImageOrigin origin;
    origin.protocol = remote.protocol;
    if (remote.isImageServer()) {
        origin.server = remote.address;
        origin.certificate = TRY(remotes.certificateOf(name));
        origin.alias = image;
        if (want != Want::Source)
            origin.image = TRY(imageOfServer(context, name, image));
        return origin;
    }
    client::Client client = TRY(context.clientOf(name));
    origin.fingerprint = TRY_IN("remote " + quoted(name), fingerprintOf(client, image));
    origin.image = TRY(client.get<api::Image>(client::path("/1.0/images", {origin.fingerprint})));
    if (want == Want::Image)
        return origin;
    const Place place = TRY(placeOf(context, client, name));
    origin.reachable = !place.addresses.empty();
    if (!origin.reachable)
        return origin;
    origin.server = place.addresses.front();
    origin.others.assign(place.addresses.begin() + 1, place.addresses.end());
    origin.certificate = place.certificate;
    origin.project = client.options().project;
    if (!origin.image->isPublic)
        origin.secret = TRY(secretFor(client, origin.fingerprint));
    else if (!origin.fingerprint.starts_with(image))
        origin.alias = image; // by its name, so that it can be kept up to date
    return origin;
}

Result<std::string> carryImage(Context &context, const std::string &remote, const api::Image &image, bool isPublic)
{
    const auto there = context.client().get<api::Image>(client::path("/1.0/images", {image.fingerprint}));
    if (there)
        return there->fingerprint;
    if (there.error().code != Code::NotFound)
        return there.error();
    const auto flow = TRY(Flow::begin(TRY(context.clientOf(remote)), image.fingerprint));
    client::Request request;
    request.method = "POST";
    request.target = context.client().target("/1.0/images");
    request.headers.set("Content-Type", TRY_IN("remote " + quoted(remote), flow->type()));
    request.headers.set("X-LXD-fingerprint", image.fingerprint);
    if (!image.filename.empty())
        request.headers.set("X-LXD-filename", image.filename);
    if (isPublic)
        request.headers.set("X-LXD-public", "true");
    std::string properties;
    for (const auto &[name, value] : image.properties)
        properties.append(properties.empty() ? "" : "&").append(http::percentEncode(name)).append("=").append(http::percentEncode(value));
    if (!properties.empty())
        request.headers.set("X-LXD-properties", properties);
    request.source = [flow = flow.get()](char *buffer, std::size_t size) { return flow->read(buffer, size); };
    const client::Answer answer = TRY(client::openEnvelope(TRY(context.client().exchange(request))));
    return TRY(waitWithProgress(context, answer.operation, "Copying")).metadata.text("fingerprint");
}

void tellNotes(Context &context, const api::Operation &operation)
{
    const api::Json *notes = operation.metadata.find("notes");
    if (!notes || !notes->asArray())
        return;
    for (const api::Json &note : *notes->asArray())
        if (note.asString())
            context.warn("Note: " + escaped(*note.asString()));
}

} // namespace lxmgr::cli
