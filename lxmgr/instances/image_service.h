// ImageService: from the name of an image to its unpacked tree in a pool: the local store first, then the image servers, then a template
// built here.
#pragma once

#include "base/paths.h"
#include "base/progress.h"
#include "config/server_config.h"
#include "images/store.h"
#include "images/template.h"
#include "instances/downloads.h"
#include "instances/found.h"
#include "instances/locks.h"
#include "instances/pools.h"
#include "servers/image_server.h"
#include "store/images.h"

#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace lxmgr::instances
{

/// What a build from a template may be told ("-o mirror=…").
struct BuildChoice {
    std::string mirror;
    std::string suite;
    /// Invalid for an option that is not one of these.
    static Result<BuildChoice> from(const StringMap &options);
    bool empty() const { return mirror.empty() && suite.empty(); }
};

/// The words an image row is made of when its file has just come in.
struct NewImage {
    std::string project;
    std::string filename;
    std::string source;
    bool isPublic = false;
    StringMap properties; ///< Over those of its metadata.
    std::vector<std::string> aliases;
    bool cached = false;     ///< Fetched for an instance: it goes when it is not used for long.
    bool autoUpdate = false;
    std::optional<std::int64_t> expiresAt; ///< Unix milliseconds, over that of its metadata.
    std::optional<store::ImageOrigin> origin;
    std::vector<std::string> profiles; ///< Of the project, for its instances; empty: none are said.
};

/// An image of another server, as a request names it.
struct RemoteImage {
    std::string server; ///< URL
    std::string protocol;
    std::string name; ///< An alias, a fingerprint or the beginning of one.
    std::string secret; ///< For one that is not public: its fingerprint is then given.
    std::string certificate; ///< PEM
    std::string project;     ///< Of that server, where it has such; empty: default.

    /// Whether it is in the project that is asked where none is named.
    bool ofDefault() const { return project.empty() || project == "default"; }
    /// Invalid, Unsupported: what cannot be asked at all.
    Status check() const;
};

/// Points each alias at the image, making it where it is new. `changed` takes all images whose names are others now.
Status moveAliases(store::Database &db, const std::string &project, const std::string &fingerprint, const std::vector<std::string> &names,
                   std::vector<std::string> &changed);

class ImageService
{
public:
    ImageService(const Paths &paths, store::Database &db, images::ImageStore &files, Pools &pools)
        : m_paths(paths), m_db(db), m_files(files), m_pools(pools)
    {
    }

    /// What obtain() and obtainRemote() give without asking any server and without building.
    Result<std::optional<store::Image>> known(const std::string &project, const std::string &name, const BuildChoice &choice);
    Result<std::optional<store::Image>> knownRemote(const std::string &project, const RemoteImage &wanted);
    /// The image `name` means: alias or fingerprint of the local store, else of an image server of images.servers, else a template,
    /// which is built. NotFound says which places were tried. What is not local is noted to `progress`, with what else was tried.
    Result<store::Image> obtain(const std::string &project, const std::string &name, const BuildChoice &choice, Progress &progress);
    /// The image that an instance is to be made of. One that was fetched as that alias before is not asked for again: it is kept up to
    /// date. Where a usual image server cannot be reached, its templates here stand in.
    Result<store::Image> obtainRemote(const std::string &project, const RemoteImage &wanted, Progress &progress);
    /// Fetches what another server has. An image that the project has already gets `details`' aliases and flags.
    Result<store::Image> copyRemote(const std::string &project, const RemoteImage &wanted, NewImage details, Progress &progress);
    /// Looks whether its server has a newer image under its name; that one then takes the place of the old one. WrongState: it has no such
    /// server.
    Result<store::Image> refresh(const std::string &project, const std::string &fingerprint, Progress &progress);
    /// When to look for newer images or delete what is not used, Unix seconds; and doing it.
    std::optional<std::time_t> nextScheduled();
    void runScheduled(std::time_t now);
    /// Builds anew, and moves the aliases to what came out.
    Result<store::Image> build(const std::string &project, const std::string &name, const BuildChoice &choice, Progress &progress);
    /// Records a file that the image store has taken in. AlreadyExists where the project has it.
    Result<store::Image> add(const images::Image &image, const NewImage &details);
    /// The row, the trees in the pools, the file.
    Status remove(const std::string &project, const std::string &fingerprint);
    /// Notes beside the images' files what the database now says of them; after every change of their rows or aliases.
    Status note(const std::vector<std::string> &fingerprints);
    /// Image files that the database does not know come back, with their names and properties.
    Status recoverLost(Apply apply, std::vector<Found> &found);
    /// Unpacks the image into the pool unless it is there.
    Status ensureUnpacked(storage::Driver &pool, const std::string &fingerprint, Progress &progress);
    images::ImageStore &files() { return m_files; }
    /// Hears what becomes of images: "image-created", "image-refreshed", "image-deleted". Set before any of that can happen; any thread.
    void setListener(std::function<void(const char *action, const store::Image &image)> listener) { m_listener = std::move(listener); }

private:
    void tell(const char *action, const store::Image &image) const
    {
        if (m_listener)
            m_listener(action, image);
    }

    Result<store::Image> buildLocked(const std::string &project, const images::ResolvedImage &resolved, const BuildChoice &choice,
                                     Progress &progress);
    Status bringBack(const std::string &fingerprint);
    Status bringProfilesBack(std::int64_t image, const std::string &project, std::vector<std::string> profiles);
    Result<bool> isKnown(const std::string &fingerprint);
    std::optional<store::Image> findBuilt(const std::string &project, const images::ResolvedImage &resolved);
    Result<store::Image> buildOnce(const std::string &project, const images::ResolvedImage &resolved, const BuildChoice &choice,
                                   Progress &progress);
    Result<config::ServerConfig> serverConfig();
    Result<store::Image> copyFrom(const std::string &project, const RemoteImage &wanted, NewImage details, const servers::Patience &patience,
                                  Progress &progress);
    Result<store::Image> fetch(const std::string &project, servers::ImageServer &server, const servers::Offer &offer, const NewImage &details,
                               Progress &progress);
    Result<images::Image> download(servers::ImageServer &server, const servers::Offer &offer, Progress &progress);
    Result<store::Image> adapt(store::Image row, const NewImage &details);
    std::optional<store::Image> fetchedAs(const std::string &project, const std::string &name, const images::ResolvedImage *resolved,
                                          const config::ServerConfig &config);
    Result<store::Image> fromServers(const std::string &project, const std::string &name, const images::ResolvedImage *resolved,
                                     std::string &tried, Progress &progress);
    std::shared_ptr<std::mutex> lockFor(const std::string &what) { return m_locks.get(what); }

    const Paths &m_paths;
    store::Database &m_db;
    images::ImageStore &m_files;
    Pools &m_pools;
    NamedLocks<std::string> m_locks;
    SharedDownloads m_downloads;
    std::function<void(const char *action, const store::Image &image)> m_listener;
};

} // namespace lxmgr::instances
