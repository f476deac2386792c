// ImageService: from the name of an image to its unpacked tree in a pool: the local store first, then a template built here.
#pragma once

#include "base/paths.h"
#include "base/progress.h"
#include "images/store.h"
#include "images/template.h"
#include "instances/found.h"
#include "instances/locks.h"
#include "instances/pools.h"
#include "store/images.h"

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
};

class ImageService
{
public:
    ImageService(const Paths &paths, store::Database &db, images::ImageStore &files, Pools &pools)
        : m_paths(paths), m_db(db), m_files(files), m_pools(pools)
    {
    }

    /// The image `name` means: alias or fingerprint of the local store, else a template, which is built. NotFound says
    /// which places were tried.
    Result<store::Image> obtain(const std::string &project, const std::string &name, const BuildChoice &choice, Progress &progress);
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

private:
    Result<store::Image> buildLocked(const std::string &project, const images::ResolvedImage &resolved, const BuildChoice &choice,
                                     Progress &progress);
    Status bringBack(const std::string &fingerprint);
    Result<bool> isKnown(const std::string &fingerprint);
    std::optional<store::Image> findBuilt(const std::string &project, const images::ResolvedImage &resolved);
    std::shared_ptr<std::mutex> lockFor(const std::string &what) { return m_locks.get(what); }

    const Paths &m_paths;
    store::Database &m_db;
    images::ImageStore &m_files;
    Pools &m_pools;
    NamedLocks<std::string> m_locks;
};

} // namespace lxmgr::instances
