// What drivers over plain folders have in common: layout, images, trash. A driver says how a root file system is made and found.
#pragma once

#include "storage/driver.h"
#include "storage/trash.h"

#include <mutex>

namespace lxmgr::storage
{

class FolderPool : public Driver
{
public:
    /// `databaseDir`: where the database lies, whose commits make our renames durable if it is on the same file system.
    FolderPool(std::string name, std::string directory, std::string databaseDir)
        : m_name(std::move(name)), m_directory(std::move(directory)), m_databaseDir(std::move(databaseDir))
    {
    }

    const std::string &name() const override { return m_name; }
    const std::string &directory() const override { return m_directory; }
    Status prepare() override;
    Result<Scratch> newScratch() override;
    Status addImage(const std::string &fingerprint, const Fill &fill) override;
    Status addImage(const std::string &fingerprint, Scratch tree) override;
    bool hasImage(const std::string &fingerprint) const override;
    Result<Fd> openImage(const std::string &fingerprint) const override;
    Result<std::vector<std::string>> listImages() const override;
    Status deleteImage(const std::string &fingerprint) override;
    Status createVolume(const std::string &project, const std::string &name, const std::optional<std::string> &image) override;
    bool hasVolume(const std::string &project, const std::string &name) const override;
    Result<std::vector<std::string>> listVolumes() const override;
    Status deleteVolume(const std::string &project, const std::string &name) override;
    Status renameVolume(const std::string &project, const std::string &from, const std::string &to) override;
    Result<Fd> openVolume(const std::string &project, const std::string &name) const override;
    std::string volumeDir(const std::string &project, const std::string &name) const override;
    Result<RootTree> root(const std::string &project, const std::string &name) const override;
    Result<std::optional<std::string>> volumeImage(const std::string &project, const std::string &name) const override;
    Result<Bytes> usage(const std::string &project, const std::string &name) const override;
    Result<Space> space() const override;
    Status emptyTrash() override;

protected:
    /// Unsupported if the file system that holds `pool` cannot carry the driver.
    virtual Status checkFileSystem(const Fd &pool) const = 0;
    /// Whether a volume goes on needing the tree of its image.
    virtual bool layersOnImage() const = 0;
    /// Makes the root file system in the new volume folder from the image's rootfs.
    virtual Status makeRoot(const Fd &volume, const Fd &imageRootfs) const = 0;
    /// Where that root file system is. `imageRootfs`: path of the image's rootfs.
    virtual RootTree rootOf(const std::string &volumeDir, const std::string &imageRootfs) const = 0;
    /// The part of the volume that is its own, below the volume folder.
    virtual std::string ownPart() const = 0;

private:
    struct Folders {
        Fd pool, images, volumes, scratch;
        std::shared_ptr<Trash> trash;
        bool flushRenames = true; ///< False where the database's commit carries them to disk.
    };

    Result<std::string> checkedVolume(const std::string &project, const std::string &name) const;
    Status needPrepared() const;
    Status publishImage(const std::string &fingerprint, Scratch tree);
    Status makeVolume(const Fd &folder, const std::optional<std::string> &image) const;
    bool isForgotten(const std::string &fingerprint) const;
    Result<bool> imageInUse(const std::string &fingerprint) const;
    Status dropIfUnused(const std::string &fingerprint);
    Status flushRename(const Fd &folder) const;
    Error withFreeSpace(Error error) const;

    std::string m_name;
    std::string m_directory;
    std::string m_databaseDir;
    Folders m_folders;
    mutable std::mutex m_mutex; ///< Held while images and volumes come into and go out of being; never over unpacking or copying.
};

/// How prepare() reports what a file system cannot do: "pool 'default' on '/x': …".
Error unsuitable(const FolderPool &pool, const std::string &why);

Result<std::unique_ptr<Driver>> makeOverlayDriver(std::string name, std::string directory, std::string databaseDir);
Result<std::unique_ptr<Driver>> makeDirDriver(std::string name, std::string directory, std::string databaseDir);

} // namespace lxmgr::storage
