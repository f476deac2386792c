// What the tables promise: rows come back as they were written, names are unique in a project, what is in use stays.
#include "store/images.h"
#include "store/instances.h"
#include "store/networks.h"
#include "store/operations.h"
#include "store/profiles.h"
#include "store/snapshots.h"
#include "store/storage_pools.h"
#include "store/undo.h"
#include "store_fixture.h"

#include <QtCore/QElapsedTimer>

using namespace lxmgr;
using namespace lxmgr::store;

namespace
{

Instance someInstance(const std::string &name)
{
    Instance instance;
    instance.name = name;
    instance.description = "a text";
    instance.architecture = "x86_64";
    instance.ephemeral = true;
    instance.pool = "default";
    instance.image = std::string(64, 'a');
    instance.config = {
        {"limits.cpu",           "2"                },
        {"user.note",            "zwei\nZeilen, ü" },
        {"volatile.eth0.hwaddr", "10:66:6a:00:00:01"}
    };
    instance.devices = {
        {"eth0", {{"type", "nic"}, {"network", "lxmgrbr0"}}            },
        {"root", {{"type", "disk"}, {"path", "/"}, {"pool", "default"}}}
    };
    instance.profiles = {"web", "default"};
    return instance;
}

void addProfile(Database &db, const std::string &name, const std::string &project = kDefaultProject)
{
    Profile profile;
    profile.project = project;
    profile.name = name;
    const auto id = insertProfile(db, profile);
    QVERIFY2(id, id ? "" : id.error().message.c_str());
}

Image someImage(char digit)
{
    Image image;
    image.fingerprint = std::string(64, digit);
    image.filename = "debian.tar.zst";
    image.architecture = "x86_64";
    image.format = "unified";
    image.size = 5'000'000'000;
    image.source = "template:debian/13";
    image.createdAt = 1000;
    image.properties = {
        {"os",      "debian"},
        {"release", "trixie"}
    };
    return image;
}

} // namespace

class TestTables : public QObject
{
    Q_OBJECT
private slots:
    void anInstanceComesBackAsItWas()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        const Instance in = someInstance("web1");
        const auto id = insertInstance(db, in);
        VERIFY_OK(id);
        const auto out = findInstance(db, "default", "web1");
        VERIFY_OK(out);
        QCOMPARE(out->id, *id);
        QCOMPARE(out->description, in.description);
        QCOMPARE(out->ephemeral, true);
        QCOMPARE(out->stateful, false);
        QVERIFY(out->status == InstanceStatus::Creating);
        QCOMPARE(out->config, in.config);
        QCOMPARE(out->devices, in.devices);
        QCOMPARE(out->profiles, in.profiles); // their order matters
        QCOMPARE(out->image, in.image);
        QVERIFY(out->createdAt > 1'600'000'000'000);
        QCOMPARE(out->lastUsedAt, 0);
        QCOMPARE(out->idRange, IdRange{});
    }

    void aSnapshotComesBackAsItWas()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        const auto instance = insertInstance(db, someInstance("web1"));
        VERIFY_OK(instance);
        Snapshot in;
        in.instanceId = *instance;
        in.name = "snap0";
        in.description = "front";
        in.architecture = "x86_64";
        in.ephemeral = true;
        in.config = {{"limits.cpu", "2"}};
        in.devices = {{"root", {{"path", "/"}, {"type", "disk"}}}};
        in.expandedConfig = {{"limits.cpu", "2"}, {"user.team", "web"}};
        in.expandedDevices = {{"eth0", {{"type", "nic"}}}, {"root", {{"path", "/"}}}};
        in.profiles = {"web", "gone", "default"}; // names only: they need not exist
        in.schedule = "nightly";
        in.expiresAt = 5000;
        const auto id = insertSnapshot(db, in);
        VERIFY_OK(id);
        const auto out = findSnapshot(db, *instance, "snap0");
        VERIFY_OK(out);
        QCOMPARE(out->id, *id);
        QCOMPARE(out->description, in.description);
        QCOMPARE(out->ephemeral, true);
        QCOMPARE(out->config, in.config);
        QCOMPARE(out->devices, in.devices);
        QCOMPARE(out->expandedConfig, in.expandedConfig);
        QCOMPARE(out->expandedDevices, in.expandedDevices);
        QCOMPARE(out->profiles, in.profiles);
        QVERIFY(out->status == SnapshotStatus::Creating);
        QCOMPARE(out->schedule, in.schedule);
        QCOMPARE(out->expiresAt, 5000);
        QVERIFY(out->createdAt > 1'600'000'000'000);
    }

    void snapshotsExpireInTheirOrder()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        const auto instance = insertInstance(db, someInstance("web1"));
        VERIFY_OK(instance);
        const auto add = [&](const char *name, std::int64_t created, std::int64_t expires) {
            Snapshot snapshot;
            snapshot.instanceId = *instance;
            snapshot.name = name;
            snapshot.createdAt = created;
            snapshot.expiresAt = expires;
            snapshot.status = SnapshotStatus::Ready;
            return insertSnapshot(db, snapshot).value_or(0);
        };
        QCOMPARE(*nextSnapshotExpiry(db), 0);
        const std::int64_t late = add("b", 300, 9000);
        add("a", 200, 0);
        const std::int64_t soon = add("c", 100, 7000);
        QCOMPARE(*nextSnapshotExpiry(db), 7000);
        QCOMPARE(listExpiredSnapshots(db, 6999)->size(), 0U);
        QCOMPARE(listExpiredSnapshots(db, 7000)->size(), 1U);
        QCOMPARE(listExpiredSnapshots(db, 7000)->front().id, soon);
        const auto all = listSnapshots(db, *instance);
        VERIFY_OK(all);
        QCOMPARE(all->size(), 3U);
        QCOMPARE((*all)[0].name, std::string("c")); // the oldest first
        QCOMPARE((*all)[2].name, std::string("b"));
        VERIFY_OK(setSnapshotExpiry(db, soon, 0));
        QCOMPARE(*nextSnapshotExpiry(db), 9000);
        VERIFY_OK(renameSnapshot(db, late, "d"));
        const Status taken = renameSnapshot(db, soon, "d");
        QVERIFY(!taken);
        QVERIFY(taken.error().code == Code::AlreadyExists);
        VERIFY_OK(setSnapshotStatus(db, late, SnapshotStatus::Deleting));
        QCOMPARE(*nextSnapshotExpiry(db), 0); // it is on its way out
        QCOMPARE(listSnapshotsIn(db, SnapshotStatus::Deleting)->size(), 1U);
        VERIFY_OK(deleteSnapshot(db, late));
        const auto gone = findSnapshot(db, *instance, "d");
        QVERIFY(!gone);
        QVERIFY(gone.error().code == Code::NotFound);
        VERIFY_OK(deleteInstance(db, *instance)); // takes its snapshots along
        QCOMPARE(listSnapshots(db)->size(), 0U);
    }

    void anInstanceChanges()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        Instance instance = someInstance("web1");
        instance.id = *insertInstance(db, instance);
        instance.config = {
            {"limits.memory", "1GiB"}
        };
        instance.devices.clear();
        instance.profiles = {"default"};
        instance.description = "other";
        VERIFY_OK(updateInstance(db, instance));
        VERIFY_OK(setInstanceStatus(db, instance.id, InstanceStatus::Ready));
        VERIFY_OK(setInstanceUsed(db, instance.id, 77));
        VERIFY_OK(setInstanceConfig(db, instance.id,
                                    {
                                        {"volatile.last_state.power", "RUNNING"},
                                        {"limits.memory",             ""       }
        }));
        VERIFY_OK(renameInstance(db, instance.id, "web2"));
        VERIFY_FAILS(Code::NotFound, findInstance(db, "default", "web1"));
        const auto out = findInstance(db, "default", "web2");
        VERIFY_OK(out);
        QCOMPARE(out->config, (StringMap{
                                  {"volatile.last_state.power", "RUNNING"}
        }));
        QVERIFY(out->devices.empty());
        QCOMPARE(out->profiles, std::vector<std::string>{"default"});
        QVERIFY(out->status == InstanceStatus::Ready);
        QCOMPARE(out->lastUsedAt, 77);
        VERIFY_OK(deleteInstance(db, instance.id));
        VERIFY_FAILS(Code::NotFound, deleteInstance(db, instance.id));
        VERIFY_FAILS(Code::NotFound, setInstanceConfig(db, instance.id,
                                                       {
                                                           {"a", "b"}
        }));
        VERIFY_OK(db.check());
    }

    void instanceNamesAreUniqueInAProject()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        VERIFY_OK(insertProject(db, {0, "other", "", 0, {}}));
        Instance instance;
        instance.name = "a";
        VERIFY_OK(insertInstance(db, instance));
        const auto taken = insertInstance(db, instance);
        VERIFY_FAILS(Code::AlreadyExists, taken);
        QCOMPARE(taken.error().message, std::string("instance 'a' already exists"));
        instance.project = "other";
        VERIFY_OK(insertInstance(db, instance));
        instance.project = "nowhere";
        VERIFY_FAILS(Code::NotFound, insertInstance(db, instance));
        QCOMPARE(listInstances(db, "")->size(), std::size_t{2});
        QCOMPARE(listInstances(db, "other")->size(), std::size_t{1});
        instance.project = "default";
        instance.name = "b";
        const auto b = insertInstance(db, instance);
        VERIFY_FAILS(Code::AlreadyExists, renameInstance(db, *b, "a"));
    }

    void anUnknownProfileMakesNoInstance()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        Instance instance = someInstance("a");
        const auto made = insertInstance(db, instance);
        VERIFY_FAILS(Code::NotFound, made);
        QCOMPARE(made.error().message, std::string("profile 'web' does not exist"));
        VERIFY_FAILS(Code::NotFound, findInstance(db, "default", "a"));
        instance.profiles = {"default", "default"};
        VERIFY_FAILS(Code::AlreadyExists, insertInstance(db, instance));
    }

    void whatIsHalfDoneIsFound()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        Instance instance;
        for (const char *name : {"b", "a", "c"}) {
            instance.name = name;
            VERIFY_OK(insertInstance(db, instance));
        }
        VERIFY_OK(setInstanceStatus(db, findInstance(db, "default", "c")->id, InstanceStatus::Ready));
        const auto found = listInstancesIn(db, InstanceStatus::Creating);
        VERIFY_OK(found);
        QCOMPARE(found->size(), std::size_t{2});
        QCOMPARE((*found)[0].name, std::string("a"));
        QCOMPARE(*listInstanceNames(db, "default"), (std::vector<std::string>{"a", "b", "c"}));
    }

    void aThousandAreListedTogether()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        VERIFY_OK(db.transaction([&]() -> Status {
            for (int i = 0; i < 1000; ++i) {
                Instance instance = someInstance("i" + std::to_string(i));
                for (int k = 0; k < 12; ++k)
                    instance.config["volatile.key" + std::to_string(k)] = "value " + std::to_string(i);
                const std::int64_t id = TRY(insertInstance(db, instance));
                TRY(allocateIdRange(db, id, {}));
            }
            return {};
        }));
        QElapsedTimer timer;
        timer.start();
        const auto all = listInstances(db, "default");
        const auto micros = timer.nsecsElapsed() / 1000;
        VERIFY_OK(all);
        QCOMPARE(all->size(), std::size_t{1000});
        for (const Instance &instance : *all) {
            QCOMPARE(instance.config.size(), std::size_t{15});
            QCOMPARE(instance.config.at("volatile.key3"), "value " + instance.name.substr(1));
            QCOMPARE(instance.devices.size(), std::size_t{2});
            QCOMPARE(instance.profiles.size(), std::size_t{2});
            QCOMPARE(instance.idRange.size, 65536U);
        }
        qInfo("1000 instances listed in %lld us", static_cast<long long>(micros));
    }

    void profilesInUseStay()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        Profile profile = *findProfile(db, "default", "web");
        profile.config = {
            {"limits.cpu", "1"}
        };
        profile.devices = {
            {"eth0", {{"type", "nic"}}}
        };
        profile.description = "for the web";
        VERIFY_OK(updateProfile(db, profile));
        VERIFY_OK(insertInstance(db, someInstance("web1")));
        const auto out = findProfile(db, "default", "web");
        VERIFY_OK(out);
        QCOMPARE(out->config, profile.config);
        QCOMPARE(out->devices, profile.devices);
        QCOMPARE(store::namesOf(out->usedBy), std::string("web1"));
        const Status refused = deleteProfile(db, profile.id);
        VERIFY_FAILS(Code::WrongState, refused);
        QCOMPARE(refused.error().message, std::string("profile 'web' is used by web1"));
        VERIFY_OK(renameProfile(db, profile.id, "site"));
        QCOMPARE(findInstance(db, "default", "web1")->profiles, (std::vector<std::string>{"site", "default"}));
        VERIFY_OK(deleteInstance(db, findInstance(db, "default", "web1")->id));
        VERIFY_OK(deleteProfile(db, profile.id));
        VERIFY_FAILS(Code::Forbidden, deleteProfile(db, findProfile(db, "default", "default")->id));
        VERIFY_FAILS(Code::Forbidden, renameProfile(db, findProfile(db, "default", "default")->id, "x"));
        QCOMPARE(listProfiles(db, "default")->size(), std::size_t{1});
    }

    void imagesAreFoundByWhatPeopleType()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const Image in = someImage('a');
        VERIFY_OK(insertImage(db, in));
        Image other = someImage('b');
        other.fingerprint = "aab" + std::string(61, '0');
        other.uploadedAt = 5;
        VERIFY_OK(insertImage(db, other));
        VERIFY_FAILS(Code::AlreadyExists, insertImage(db, in));
        VERIFY_OK(insertAlias(db, {0, "default", "debian", "text", in.fingerprint}));
        VERIFY_FAILS(Code::AlreadyExists, insertAlias(db, {0, "default", "debian", "", in.fingerprint}));
        VERIFY_FAILS(Code::NotFound, insertAlias(db, {0, "default", "x", "", std::string(64, 'f')}));

        const auto out = resolveImage(db, "default", "debian");
        VERIFY_OK(out);
        QCOMPARE(out->size, in.size);
        QCOMPARE(out->properties, in.properties);
        QCOMPARE(out->aliases, std::vector<std::string>{"debian"});
        QCOMPARE(resolveImage(db, "default", "aaa")->fingerprint, in.fingerprint);
        VERIFY_FAILS(Code::Invalid, resolveImage(db, "default", "aa"));
        VERIFY_FAILS(Code::NotFound, resolveImage(db, "default", "ubuntu"));
        VERIFY_FAILS(Code::NotFound, resolveImage(db, "default", "%"));
        VERIFY_FAILS(Code::NotFound, resolveImage(db, "default", ""));
        QCOMPARE(findImageBySource(db, "default", "template:debian/13")->fingerprint, in.fingerprint); // the newer one
        VERIFY_OK(setImageStatus(db, out->id, ImageStatus::Deleting));
        QCOMPARE(findImageBySource(db, "default", "template:debian/13")->fingerprint, other.fingerprint);
        QCOMPARE(listImagesIn(db, ImageStatus::Deleting)->size(), std::size_t{1});
    }

    void aliasesMoveAndGo()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const auto a = insertImage(db, someImage('a'));
        VERIFY_OK(a);
        VERIFY_OK(insertImage(db, someImage('b')));
        VERIFY_OK(insertAlias(db, {0, "default", "debian", "", std::string(64, 'a')}));
        ImageAlias alias = *findAlias(db, "default", "debian");
        alias.fingerprint = std::string(64, 'b');
        alias.description = "moved";
        VERIFY_OK(updateAlias(db, alias));
        VERIFY_OK(renameAlias(db, alias.id, "deb"));
        QCOMPARE(resolveImage(db, "default", "deb")->fingerprint, alias.fingerprint);
        VERIFY_OK(deleteImage(db, resolveImage(db, "default", "deb")->id));
        VERIFY_FAILS(Code::NotFound, findAlias(db, "default", "deb"));
        VERIFY_FAILS(Code::NotFound, deleteAlias(db, "default", "deb"));
        QCOMPARE(listAliases(db, "default")->size(), std::size_t{0});
        Image image = *findImage(db, "default", "a");
        image.properties = {
            {"os", "other"}
        };
        image.isPublic = true;
        VERIFY_OK(updateImage(db, image));
        QCOMPARE(findImage(db, "default", "a")->properties, image.properties);
        QVERIFY(findImage(db, "default", "a")->isPublic);
        QCOMPARE(listImages(db, "default")->size(), std::size_t{1});
    }

    void imagesKnowWhereTheyCameFrom()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        const ImageOrigin origin{"https://a.example", "simplestreams", "debian/12", "", 5000};
        Image fetched = someImage('a');
        fetched.origin = origin;
        fetched.autoUpdate = fetched.cached = true;
        const auto id = insertImage(db, fetched);
        VERIFY_OK(id);
        VERIFY_OK(insertImage(db, someImage('b')));
        QCOMPARE(findImageByOrigin(db, "default", origin)->fingerprint, fetched.fingerprint);
        VERIFY_FAILS(Code::NotFound, findImageByOrigin(db, "default", {"https://a.example", "lxd", "debian/12", "", 0}));
        VERIFY_FAILS(Code::NotFound, findImageByOrigin(db, "default", {"https://b.example", "simplestreams", "debian/12", "", 0}));
        QCOMPARE(listImages(db, "default")->size(), std::size_t{2});
        QVERIFY(!findImage(db, "default", "b")->origin);
        QCOMPARE(listAutoUpdated(db)->size(), std::size_t{1});
        QCOMPARE(listCached(db)->size(), std::size_t{1});
        VERIFY_OK(setImageChecked(db, *id, 9000));
        QCOMPARE(listAutoUpdated(db)->front().origin->checkedAt, std::int64_t{9000});
        VERIFY_OK(setImageOrigin(db, *id, {"https://a.example", "simplestreams", "", "", 0})); // of a fingerprint there is nothing newer
        QVERIFY(listAutoUpdated(db)->empty());
        VERIFY_OK(deleteImage(db, *id));
        VERIFY_FAILS(Code::NotFound, findImageByOrigin(db, "default", {"https://a.example", "simplestreams", "", "", 0}));
    }

    void imagesKnowWhoElseHasThem()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        Project project;
        project.name = "other";
        VERIFY_OK(insertProject(db, project));
        Image theirs = someImage('a');
        theirs.project = "other";
        VERIFY_OK(insertImage(db, someImage('a')));
        VERIFY_OK(insertImage(db, someImage('b')));
        const Image ours = *findImage(db, "default", "a");
        QVERIFY(!*isImageShared(db, ours));
        theirs.id = *insertImage(db, theirs);
        QVERIFY(*isImageShared(db, ours));
        VERIFY_OK(setImageStatus(db, theirs.id, ImageStatus::Deleting)); // whoever is last takes the files
        QVERIFY(!*isImageShared(db, ours));
    }

    void imagesBringProfilesOfEachProject()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        Project other;
        other.name = "other";
        other.config = {{"features.images", "false"}};
        VERIFY_OK(insertProject(db, other));
        addProfile(db, "web"), addProfile(db, "db"), addProfile(db, "web", "other");
        const std::int64_t id = *insertImage(db, someImage('a'));
        using Names = std::vector<std::string>;
        VERIFY_OK(setImageProfiles(db, id, "default", {"web", "db", "default"}));
        VERIFY_OK(setImageProfiles(db, id, "other", {"web"}));
        QCOMPARE(findImage(db, "default", "a")->profiles, (Names{"web", "db", "default"}));
        QCOMPARE(findImage(db, "other", "a")->profiles, Names{"web"});
        QCOMPARE(listImages(db, "")->at(0).profiles, (Names{"web", "db", "default"}));
        QCOMPARE(profilesOfImage(db, id)->size(), std::size_t(2));
        QCOMPARE(*imagesWithProfile(db, findProfile(db, "default", "db")->id), Names{std::string(64, 'a')});
        VERIFY_FAILS(Code::NotFound, setImageProfiles(db, id, "default", {"nothere"}));
        VERIFY_FAILS(Code::AlreadyExists, setImageProfiles(db, id, "default", {"web", "web"}));
        QCOMPARE(findImage(db, "default", "a")->profiles, (Names{"web", "db", "default"}));
        VERIFY_OK(renameProfile(db, findProfile(db, "default", "web")->id, "www"));
        VERIFY_OK(deleteProfile(db, findProfile(db, "default", "db")->id));
        QCOMPARE(findImage(db, "default", "a")->profiles, (Names{"www", "default"}));
        const std::int64_t newer = *insertImage(db, someImage('b'));
        VERIFY_OK(copyImageProfiles(db, id, newer));
        QCOMPARE(findImage(db, "default", "b")->profiles, (Names{"www", "default"}));
        QCOMPARE(findImage(db, "other", "b")->profiles, Names{"web"});
        VERIFY_OK(setImageProfiles(db, newer, "default", {}));
        QVERIFY(findImage(db, "default", "b")->profiles.empty());
    }

    void volumesHaveAHome()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        Project other;
        other.name = "other";
        other.config = {{"features.storage.volumes", "false"}};
        VERIFY_OK(insertProject(db, other));
        QCOMPARE(*homeOf(db, "other", Shared::Volumes), std::string("default"));
        QCOMPARE(*homeOf(db, "other", Shared::Profiles), std::string("other"));
        QCOMPARE(*projectsAt(db, "default", Shared::Volumes), (std::vector<std::string>{"default", "other"}));
        UndoEntry entry;
        entry.kind = UndoKind::Volume;
        VERIFY_OK(insertUndo(db, entry));
        entry.kind = UndoKind::Delete;
        VERIFY_OK(insertUndo(db, entry));
        QCOMPARE(listUndo(db, "other")->size(), std::size_t(1));
        QCOMPARE(listUndo(db, "default")->size(), std::size_t(2));
        other = *findProject(db, "other");
        Profile profile = *findProfile(db, "other", "default");
        profile.devices = {{"data", {{"type", "disk"}, {"pool", "default"}, {"source", "data"}, {"path", "/mnt"}}}};
        VERIFY_OK(updateProfile(db, profile));
        other.config.clear();
        VERIFY_FAILS(Code::WrongState, updateProject(db, other));
        profile.devices.clear();
        VERIFY_OK(updateProfile(db, profile));
        VERIFY_OK(updateProject(db, other));
        QCOMPARE(*projectsAt(db, "default", Shared::Volumes), std::vector<std::string>{"default"});
    }

    void imagesKnowTheirInstances()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        addProfile(db, "web");
        VERIFY_OK(insertInstance(db, someInstance("web1")));
        QCOMPARE(*instancesOfImage(db, std::string(64, 'a')), std::vector<std::string>{"default/web1"});
        QVERIFY(instancesOfImage(db, std::string(64, 'b'))->empty());
    }

    void networksAndPoolsComeBack()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        Network network;
        network.name = "lxmgrbr0";
        network.config = {
            {"ipv4.address", "10.1.2.1/24"}
        };
        VERIFY_OK(insertNetwork(db, network));
        VERIFY_FAILS(Code::AlreadyExists, insertNetwork(db, network));
        network = *findNetwork(db, "default", "lxmgrbr0");
        network.config["ipv4.nat"] = "true";
        VERIFY_OK(updateNetwork(db, network));
        QCOMPARE(listNetworks(db, "default")->at(0).config, network.config);
        VERIFY_OK(renameNetwork(db, network.id, "br1"));
        VERIFY_OK(deleteNetwork(db, network.id));
        VERIFY_FAILS(Code::NotFound, findNetwork(db, "default", "br1"));

        StoragePool pool;
        pool.name = "default";
        pool.driver = "overlay";
        pool.config = {
            {"source", "/var/lib/lxmgr/storage-pools/default"}
        };
        VERIFY_OK(insertPool(db, pool));
        VERIFY_FAILS(Code::AlreadyExists, insertPool(db, pool));
        pool = *findPool(db, "default");
        QCOMPARE(pool.driver, std::string("overlay"));
        addProfile(db, "web");
        VERIFY_OK(insertInstance(db, someInstance("web1")));
        VERIFY_FAILS(Code::WrongState, deletePool(db, pool.id));
        VERIFY_OK(deleteInstance(db, findInstance(db, "default", "web1")->id));
        VERIFY_OK(deletePool(db, pool.id));
        QVERIFY(listPools(db)->empty());
    }

    void theJournalTellsWhatIsUnfinished()
    {
        StoreFixture fixture;
        Operation operation;
        operation.id = "u1";
        operation.type = "instance-create";
        operation.object = "web1";
        operation.arguments = R"({"a":1})";
        VERIFY_OK(beginOperation(*fixture.db, operation));
        VERIFY_FAILS(Code::AlreadyExists, beginOperation(*fixture.db, operation));
        operation.id = "u2";
        VERIFY_OK(beginOperation(*fixture.db, operation));
        VERIFY_OK(addOperationStep(*fixture.db, "u1", {"volume", R"({"pool":"default"})"}));
        VERIFY_OK(addOperationStep(*fixture.db, "u1", {"network", ""}));
        VERIFY_FAILS(Code::NotFound, addOperationStep(*fixture.db, "u9", {"x", ""}));
        VERIFY_OK(finishOperation(*fixture.db, "u2", OperationStatus::Failure, "it broke"));

        // As after a crash: another process finds it.
        fixture.db.reset();
        auto again = Database::open(fixture.path);
        VERIFY_OK(again);
        const auto unfinished = listUnfinished(**again);
        VERIFY_OK(unfinished);
        QCOMPARE(unfinished->size(), std::size_t{1});
        const Operation &found = unfinished->front();
        QCOMPARE(found.arguments, operation.arguments);
        QCOMPARE(found.steps.size(), std::size_t{2});
        QCOMPARE(found.steps[0].name, std::string("volume"));
        QCOMPARE(found.steps[1].name, std::string("network"));
        QVERIFY(findOperation(**again, "u2")->status == OperationStatus::Failure);
        QCOMPARE(findOperation(**again, "u2")->error, std::string("it broke"));
        VERIFY_OK(pruneOperations(**again, unixMillis() + 1000));
        VERIFY_FAILS(Code::NotFound, findOperation(**again, "u2"));
        VERIFY_OK(findOperation(**again, "u1")); // running ones are never forgotten
    }

    void projectsInUseStay()
    {
        StoreFixture fixture;
        Database &db = *fixture.db;
        VERIFY_OK(insertProject(db, {0, "other", "text", 0, {}}));
        VERIFY_FAILS(Code::AlreadyExists, insertProject(db, {0, "other", "", 0, {}}));
        addProfile(db, "web", "other");
        VERIFY_FAILS(Code::WrongState, deleteProject(db, "other"));
        VERIFY_OK(deleteProfile(db, findProfile(db, "other", "web")->id));
        VERIFY_OK(deleteProject(db, "other"));
        VERIFY_FAILS(Code::Forbidden, deleteProject(db, "default"));
        QCOMPARE(listProjects(db)->size(), std::size_t{1});
        QCOMPARE(findProject(db, "default")->id, 1);
    }
};

QTEST_APPLESS_MAIN(TestTables)
#include "tst_tables.moc"
