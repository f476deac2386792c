// From definition to steps, and the steps' way to the helper and its reports back.
#include "images/bootstrap.h"
#include "support/verify.h"

#include <algorithm>

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{

const std::string kDefinition = R"(image: {distribution: debian}
source: {downloader: debootstrap, variant: minbase}
mappings: {architecture_map: debian}
packages:
  manager: apt
  update: true
  sets:
  - {action: install, early: true, packages: [dbus]}
  - {action: install, packages: [vim]}
  - {action: install, packages: [curl], releases: [bookworm]}
  - {action: install, packages: [less], architectures: [amd64, arm64]}
  - {action: remove, packages: [nano]}
  repositories:
  - name: sources.list
    url: |-
      deb http://a/debian {{ image.release }} main
      {% if image.release != "sid" %}deb http://a/debian {{ image.release }}-updates main{% endif %}
files:
- {path: /etc/hostname, generator: hostname}
- {path: /etc/hosts, generator: hosts}
- {path: /etc/machine-id, generator: dump}
- {path: /etc/x, generator: dump, content: "a {{ image.release }}", pongo: true, mode: 0600, uid: 7}
- {path: /etc/y, generator: dump, content: cloud, variants: [cloud]}
- {name: user-data, generator: cloud-init}
actions:
- {trigger: post-files, action: last}
- {trigger: post-unpack, action: first}
- {trigger: post-update, action: second}
- {trigger: post-packages, action: third}
)";

ResolvedImage trixie()
{
    ResolvedImage image;
    image.templateName = "t";
    image.release = "trixie";
    image.version = "13";
    image.variant = "default";
    image.architecture = "x86_64";
    return image;
}

Archive archive()
{
    Archive archive;
    archive.url = "http://a/debian";
    archive.suite = "trixie";
    archive.components = {"main"};
    return archive;
}

BuildHost host()
{
    BuildHost host;
    host.keyrings["debian-archive-keyring.gpg"] = "ring";
    host.resolvConf = "nameserver 192.0.2.1\n";
    return host;
}

Result<BuildPlan> planned(const std::string &text, const ResolvedImage &image = trixie())
{
    const Template definition = TRY(parseTemplate("t", text, "t.yaml"));
    return planBuild(definition, image, archive(), host());
}

std::size_t stepWith(const BuildPlan &plan, const std::string &text)
{
    for (std::size_t i = 0; i < plan.job.steps.size(); ++i) {
        const BuildStep &step = plan.job.steps[i];
        if (step.content.find(text) != std::string::npos || std::ranges::find(step.argv, text) != step.argv.end())
            return i;
    }
    return SIZE_MAX;
}

const BuildStep *stepAt(const BuildPlan &plan, const std::string &path)
{
    for (const BuildStep &step : plan.job.steps)
        if (step.path == path)
            return &step;
    return nullptr;
}

} // namespace

class TestBuildPlan : public QObject
{
    Q_OBJECT
private slots:
    void actionsRunInTheOrderOfTheirTriggers()
    {
        const auto plan = planned(kDefinition);
        VERIFY_OK(plan);
        const std::size_t order[] = {
            plan->bootstrapStep,         stepWith(*plan, "first\n"), stepWith(*plan, "dist-upgrade"),
            stepWith(*plan, "second\n"), stepWith(*plan, "third\n"), stepWith(*plan, "a trixie\n"),
            stepWith(*plan, "last\n")};
        QVERIFY(std::ranges::find(order, SIZE_MAX) == std::end(order));
        QVERIFY(stepWith(*plan, "second\n") > stepWith(*plan, "first\n"));
        QVERIFY(stepWith(*plan, "last\n") > stepWith(*plan, "a trixie\n"));
    }

    void neighboursAreOneRunAndFiltersHold()
    {
        const auto plan = planned(kDefinition);
        VERIFY_OK(plan);
        const BuildStep &install = plan->job.steps.at(stepWith(*plan, "vim"));
        QVERIFY(std::ranges::find(install.argv, "less") != install.argv.end());
        QVERIFY(std::ranges::find(install.argv, "curl") == install.argv.end());
        QCOMPARE(stepWith(*plan, "dbus"), SIZE_MAX); // early: part of the bootstrap
        QVERIFY(stepWith(*plan, "--include=dbus") != SIZE_MAX);
        QVERIFY(!stepAt(*plan, "/etc/y"));
        ResolvedImage cloud = trixie();
        cloud.variant = "cloud";
        QVERIFY(stepAt(*planned(kDefinition, cloud), "/etc/y"));
    }

    void definitionsTextsAreRendered()
    {
        const auto plan = planned(kDefinition);
        VERIFY_OK(plan);
        const BuildStep *sources = stepAt(*plan, "/etc/apt/sources.list");
        QVERIFY(sources);
        QCOMPARE(sources->content,
                 std::string("deb http://a/debian trixie main\ndeb http://a/debian trixie-updates main\n"));
        const BuildStep *file = stepAt(*plan, "/etc/x");
        QVERIFY(file);
        QCOMPARE(file->mode, 0600U);
        QCOMPARE(file->uid, 7U);
        QCOMPARE(stepAt(*plan, "/etc/machine-id")->content, std::string());
    }

    void instanceFilesBecomeTemplates()
    {
        const auto plan = planned(kDefinition);
        VERIFY_OK(plan);
        QCOMPARE(plan->rules.size(), std::size_t(3));
        QCOMPARE(plan->rules[0].target, std::string("/etc/hostname"));
        QCOMPARE(plan->rules[2].target, std::string("/var/lib/cloud/seed/nocloud-net/user-data"));
        QVERIFY(plan->templates.contains("hostname.tpl") && plan->templates.contains("cloud-init-user-data.tpl"));
        QCOMPARE(plan->hosts, std::vector<std::string>{"/etc/hosts"});
    }

    void aDefinitionsOwnKeysAreTheOnlyOnes()
    {
        const std::string start = "image: {distribution: debian}\nmappings: {architecture_map: debian}\nsource:\n  "
                                  "downloader: debootstrap\n  keys:\n";
        const auto own = planned(start + "  - |-\n    -----BEGIN PGP PUBLIC KEY BLOCK-----\n    x\n");
        VERIFY_OK(own);
        QCOMPARE(own->job.files.size(), std::size_t(1));
        QCOMPARE(own->job.files[0].first, std::string("keys/0.asc"));
        const auto fingerprint = planned(start + "  - \"0xF6ECB3762474EDA9D21B7022871920D1991BC93C\"\n");
        VERIFY_OK(fingerprint);
        QVERIFY(stepWith(*fingerprint,
                         "deb [signed-by=F6ECB3762474EDA9D21B7022871920D1991BC93C] http://a/debian trixie main") !=
                SIZE_MAX);
        VERIFY_FAILS(Code::Invalid, planned(start + "  - 0xdeadbeef\n"));
    }

    void withoutAKeyringNothingIsBuilt()
    {
        const auto definition =
            parseTemplate("t", "image: {distribution: debian}\nsource: {downloader: debootstrap}\n", "t.yaml");
        BuildHost bare = host();
        bare.keyrings.clear();
        VERIFY_FAILS(Code::Unavailable, planBuild(*definition, trixie(), archive(), bare));
    }

    void busyboxWantsAStaticOne()
    {
        const auto definition =
            parseTemplate("b", "image: {distribution: busybox}\nsource: {downloader: busybox}\n", "b.yaml");
        const auto refused = planBuild(*definition, trixie(), {}, {});
        VERIFY_FAILS(Code::Unavailable, refused);
        QVERIFY(QByteArray::fromStdString(refused.error().message).contains("busybox-static"));
        BuildHost with;
        with.busybox = "/bin/busybox";
        VERIFY_OK(planBuild(*definition, trixie(), {}, with));
    }

    void alpineIsMadeByTheHostsApkOrByItsOwn()
    {
        const std::string text = "image: {distribution: alpine}\nsource: {downloader: apk, early_packages: [alpine-base]}\n"
                                 "mappings: {architecture_map: alpinelinux}\npackages: {manager: apk}\n";
        const auto definition = parseTemplate("alpine", text, "alpine.yaml");
        VERIFY_OK(definition);
        BuildHost with = host();
        VERIFY_FAILS(Code::Unavailable, planBuild(*definition, trixie(), archive(), with));
        with.apk = "/sbin/apk";
        const auto own = planBuild(*definition, trixie(), archive(), with);
        VERIFY_OK(own);
        QCOMPARE(own->job.steps[own->bootstrapStep].argv[0], std::string("/sbin/apk"));
        with.apk.clear();
        with.apkTools = ApkEntry{"apk-tools-static", "2.14.9-r2", "Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 7};
        const auto fetched = planBuild(*definition, trixie(), archive(), with);
        VERIFY_OK(fetched);
        const std::size_t fetch = stepWith(*fetched, "http://a/debian/trixie/main/x86_64/apk-tools-static-2.14.9-r2.apk");
        const std::size_t check = stepWith(*fetched, "apk-tools-static 2.14.9-r2 Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA= 7");
        QVERIFY(fetch < check && check < fetched->bootstrapStep);
        QCOMPARE(fetched->job.steps[fetch].mostFile, std::uint32_t(kMostApk));
        QCOMPARE(fetched->job.steps[fetched->bootstrapStep].argv[0], fetched->job.steps[check].argv[1]);
    }

    void proxiesOfTheHostAreApksToo()
    {
        const auto definition = parseTemplate(
            "alpine", "image: {distribution: alpine}\nsource: {downloader: apk}\n", "alpine.yaml");
        VERIFY_OK(definition);
        BuildHost with = host();
        with.apk = "/sbin/apk";
        Archive proxied = archive();
        proxied.aptOptions = {"Acquire::http::Proxy \"http://p:3142\";", "Acquire::https::Proxy \"DIRECT\";",
                              "Acquire::Check-Date \"false\";"};
        const auto plan = planBuild(*definition, trixie(), proxied, with);
        VERIFY_OK(plan);
        const auto &environment = plan->job.steps[plan->bootstrapStep].environment;
        QVERIFY(std::ranges::find(environment, "http_proxy=http://p:3142") != environment.end());
        for (const std::string &entry : environment)
            QVERIFY2(!entry.starts_with("https_proxy"), entry.c_str());
        const auto search = planApkSearch(*definition, trixie(), proxied, with);
        VERIFY_OK(search);
        const auto &argv = search->steps.at(0).argv;
        QVERIFY(std::ranges::find(argv, "-oAcquire::http::Proxy=http://p:3142") != argv.end());
        QVERIFY(std::ranges::find(argv, "http://a/debian/trixie/main/x86_64/APKINDEX.tar.gz") != argv.end());
    }

    void ownKeysOfAnAlpineArchiveHaveNames()
    {
        const std::string start = "image: {distribution: alpine}\nsource:\n  downloader: apk\n  keys:\n  - |-\n";
        const std::string pem = "    -----BEGIN PUBLIC KEY-----\n    x\n    -----END PUBLIC KEY-----\n";
        const auto job = [&](const std::string &key) -> Result<BuildJob> {
            const Template definition = TRY(parseTemplate("a", start + key, "a.yaml"));
            return planApkSearch(definition, trixie(), archive(), host());
        };
        const auto good = job("    mine.rsa.pub\n" + pem);
        VERIFY_OK(good);
        QCOMPARE(good->files.size(), std::size_t(1));
        QCOMPARE(good->files[0].first, std::string("keys/mine.rsa.pub"));
        QVERIFY(good->files[0].second.starts_with("-----BEGIN"));
        for (const char *bad : {"", "    ../mine\n", "    a b\n", "    .hidden\n"})
            VERIFY_FAILS(Code::Invalid, job(bad + pem));
        VERIFY_FAILS(Code::Invalid, job("    mine.rsa.pub\n    text\n"));
    }

    void jobsSurviveTheirWay()
    {
        auto plan = planned(kDefinition);
        VERIFY_OK(plan);
        plan->job.caches = {
            {"/a;b:1", "/var"}
        };
        plan->job.seccomp = std::string("\0;:\xff", 4);
        const std::string bytes = packJob(plan->job);
        const auto job = unpackJob(bytes);
        VERIFY_OK(job);
        QCOMPARE(packJob(*job), bytes);
        QCOMPARE(job->seccomp, plan->job.seccomp);
        for (std::size_t cut = 0; cut < bytes.size(); cut += 7)
            QVERIFY(!unpackJob(bytes.substr(0, cut)));
        VERIFY_FAILS(Code::Corrupt, unpackJob("lxmgr-build-0\n"));
    }

    void reportsSurviveTheirWay()
    {
        BuildReport failed;
        failed.kind = BuildReport::Kind::Failed;
        failed.code = Code::NoSpace;
        failed.errnum = ENOSPC;
        failed.text = "write 'x': no\nspace";
        const std::string line = formatReport(failed);
        const auto back = parseReport(line.substr(0, line.size() - 1));
        VERIFY_OK(back);
        QCOMPARE(back->code, Code::NoSpace);
        QCOMPARE(back->errnum, ENOSPC);
        QVERIFY(back->text.find('\n') == std::string::npos);
        BuildReport ended;
        ended.kind = BuildReport::Kind::Ended;
        ended.step = 12;
        ended.status = 137;
        const std::string end = formatReport(ended);
        QCOMPARE(parseReport(end.substr(0, end.size() - 1))->status, 137);
        for (const char *broken : {"", "X y", "S 1", "S a b", "F internal", "L"})
            QVERIFY(!parseReport(broken));
    }
};

QTEST_GUILESS_MAIN(TestBuildPlan)
#include "tst_build_plan.moc"
