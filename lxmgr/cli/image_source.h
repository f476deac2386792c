// Images of other servers, as a request to the daemon that is to fetch them names them; and those of image servers, which we read.
#pragma once

#include "api/images.h"
#include "api/operations.h"
#include "cli/context.h"
#include "servers/offer.h"

namespace lxmgr::cli
{

/// The images of a remote with protocol simplestreams.
Result<std::vector<api::Image>> imagesOfServer(Context &context, const std::string &remote);
/// One of them. NotFound.
Result<api::Image> imageOfServer(Context &context, const std::string &remote, const std::string &name);

/// An image as the source of a copy or of an instance.
struct ImageOrigin {
    std::string server, protocol, alias, fingerprint, secret, certificate, project;
    std::vector<std::string> others; ///< More addresses of the server.
    std::optional<api::Image> image; ///< What it is, where that had to be asked.
    bool reachable = true;           ///< false: it answers nobody on the network, so that the image has to be carried.
};
/// The origin as what a request has the daemon fetch.
template <class Source> void nameOrigin(Source &source, const ImageOrigin &origin)
{
    source.mode = "pull";
    source.server = origin.server;
    source.protocol = origin.protocol;
    source.alias = origin.alias;
    source.fingerprint = origin.fingerprint;
    source.secret = origin.secret;
    source.certificate = origin.certificate;
    source.project = origin.project;
}

enum class Want {
    Source,            ///< For another server to fetch it; one that is not public gets a secret for that.
    SourceAndImage,    ///< And what it is.
    Image,             ///< What it is, and no way to fetch it.
};
/// `name` of `remote`.
Result<ImageOrigin> originOf(Context &context, const std::string &remote, const std::string &name, Want want);

/// Where a server answers on the network, and what it shows there.
struct Place {
    std::vector<std::string> addresses;
    std::string certificate; ///< PEM; empty: what certification authorities vouch for.
};
Result<Place> placeOf(Context &context, client::Client &client, const std::string &remote);

/// Has the remote in use take the image over from `remote`, byte by byte through here, unless it has it. The fingerprint.
Result<std::string> carryImage(Context &context, const std::string &remote, const api::Image &image, bool isPublic);

/// The alias or the beginning of a fingerprint as a fingerprint. NotFound.
Result<std::string> fingerprintOf(client::Client &client, const std::string &image);

/// Tries one address of the server after the other, until one is answered at.
template <class Attempt> auto atAnyAddress(const ImageOrigin &origin, Attempt &&attempt) -> decltype(attempt(origin.server))
{
    auto done = attempt(origin.server);
    for (const std::string &address : origin.others) {
        if (done || done.error().code != Code::Unavailable)
            break;
        done = attempt(address);
    }
    return done;
}

/// What the daemon says of the way an image came.
void tellNotes(Context &context, const api::Operation &operation);

} // namespace lxmgr::cli
