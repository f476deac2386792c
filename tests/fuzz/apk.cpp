// What an Alpine mirror sends, up to its signature; behind it nothing is read. The corpus is signed with this key.
#include "images/apk.h"

#include <cstdint>

using namespace lxmgr;
using namespace lxmgr::images;

namespace
{
const ApkKeys kKeys{
    {"test@invalid-00000000.rsa.pub", "-----BEGIN PUBLIC KEY-----\n"
                                      "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAm9OgwckZGlfXVP9McUUI\n"
                                      "C9/yKxwrglD2QMLBG5HwOH/7t/aO84gBPCH++YLsvK0ypMEIXr5+VPdNOWANshRC\n"
                                      "1bldyBSGROqQOCRJgDli0ICemZL8V9bY7NN/QkppRyeqgqBuLbyLZbmDfAejmDZY\n"
                                      "zYSu5W2qSibvcKWbCcQ2e1NJ+QbTWwuvYPkzs7soQOk2pd2aUbZBELaH5L1TPoBx\n"
                                      "XmBtdJt0Fjo1LgHZTWeW/i55UFuOrfuzL1XvqjqS1to08l2VnvpKCEXN6GtkU77K\n"
                                      "J0vGpAk6LliEAn1ac0wcJ74uCOcc9TDR3FG5e58jqztcKKUR8gVaKPaXrQZ02NPs\n"
                                      "sQIDAQAB\n"
                                      "-----END PUBLIC KEY-----\n"}
};
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char *>(data), size);
    // As an index, then as a package that has the index's size.
    (void)findInApkIndex(bytes, kKeys, "apk-tools-static"); // only must not crash or hang
    const ApkEntry entry{"apk-tools-static", "2.14.9-r2", "Q1f9Kl7MOOjfTlgXsD0hNL8Tp5Qdc=", size};
    (void)fileOfApk(bytes, kKeys, entry, "sbin/apk.static");
    return 0;
}
