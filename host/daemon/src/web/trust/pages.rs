//! The page that says how to install the authority, and what it gives out. Without script, and without the fingerprint:
//! whoever could put another page in its place would put his own fingerprint there, too. It is read on the host.

use bytes::Bytes;
use data_encoding::{BASE64, HEXUPPER};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::Authority;
use crate::web::downloads::Download;
use crate::web::pages::{escaped, html};

const PAGE: &str = "/trust";
const PROFILE: &str = "/trust/lanyard.mobileconfig";
const CERTIFICATE: &str = "/trust/lanyard.crt";

const HTML: &str = "text/html; charset=utf-8";

/// While there is no authority.
pub(super) fn nothing() -> Vec<Download> {
    let body = "<p>Browsers warn of this host because it has made its certificate itself.</p><p>Its owner can do away \
                with that: <code>lanyard trust enable</code> on the host makes an authority for the host&#39;s name and \
                nothing else. Then this page says how to install it.</p>";
    vec![shown(html("Nothing to install yet", body))]
}

/// The page, the iOS profile and the certificate.
pub(super) fn of(authority: &Authority, root: &CertificateDer<'_>) -> Vec<Download> {
    let file = |path, content_type, file_name, content: Vec<u8>| Download {
        path,
        content_type,
        file_name: Some(file_name),
        content: content.into(),
    };
    vec![
        shown(html("Trust this host", &steps(&escaped(&authority.name)))),
        file(
            PROFILE,
            "application/x-apple-aspen-config",
            "lanyard.mobileconfig",
            profile(authority, root).into_bytes(),
        ),
        file(CERTIFICATE, "application/x-x509-ca-cert", "lanyard.crt", root.to_vec()),
    ]
}

fn shown(html: String) -> Download {
    Download { path: PAGE, content_type: HTML, file_name: None, content: Bytes::from(html) }
}

fn steps(name: &str) -> String {
    format!(
        "<p>This installs an authority that speaks for <b>{name}</b> and for nothing else: no other name, no address. \
         Its key was destroyed when it had signed this host&#39;s certificate.</p>\
         <div class=\"card\"><h2>This page is not verified</h2><p>Somebody in your network could have put another one in \
         its place, with another authority. So compare before you trust: on the host run <code>lanyard trust</code>. The \
         <b>SHA-256 fingerprint</b> it prints must be the one that your system shows in the details of the certificate. \
         If they differ, remove it and tell the host&#39;s owner.</p></div>\
         <h2>iPhone and iPad</h2>\
         <p><a class=\"go\" href=\"{PROFILE}\">Download the profile</a></p>\
         <p>1. Allow the download, then open Settings → General → VPN &amp; Device Management → Lanyard → More Details, and \
         compare the fingerprint of the certificate.<br>2. Install the profile.<br>3. Settings → General → About → \
         Certificate Trust Settings: switch it on. Before that it is not trusted.</p>\
         <h2>Android</h2>\
         <p><a class=\"go\" href=\"{CERTIFICATE}\">Download the certificate</a></p>\
         <p>1. Settings → search for “CA certificate” → Install anyway, and choose <code>lanyard.crt</code>.<br>2. Compare \
         at once: Settings → search for “Trusted credentials” → User → Lanyard. If the fingerprint differs, remove it \
         there.<br>Chrome and most browsers use it; Firefox after Settings → About Firefox → tap its logo five times → \
         Secret Settings → Use third party CA certificates.</p>\
         <h2>Windows, macOS, Linux</h2>\
         <p><a class=\"go\" href=\"{CERTIFICATE}\">Download the certificate</a></p>\
         <p>The fingerprint of the certificate is the SHA-256 of the file: compare it first, with \
         <code>certutil -hashfile lanyard.crt SHA256</code> (Windows), <code>shasum -a 256 lanyard.crt</code> (macOS) or \
         <code>sha256sum lanyard.crt</code> (Linux).</p>\
         <p><b>Windows</b>: open the file → Install Certificate → Current User → place it in “Trusted Root Certification \
         Authorities”.<br><b>macOS</b>: open the file in Keychain Access, then its Trust → Secure Sockets Layer (SSL) → \
         Always Trust.<br><b>Linux</b>, and Chrome everywhere: chrome://settings/certificates → Custom → Installed by you \
         → Trusted certificates → Import.<br><b>Firefox</b>: Settings → Privacy &amp; Security → View Certificates → \
         Authorities → Import, “identify websites”.</p>\
         <p class=\"soft\">From then on open the host as https://{name} with its port: no warning comes any more, and one \
         that comes all the same means something. To undo it, remove “Lanyard: {name} only” in the same place.</p>"
    )
}

/// An iOS configuration profile with one root certificate. Its ids follow from the certificate: to install the same one
/// again replaces it.
fn profile(authority: &Authority, root: &CertificateDer<'_>) -> String {
    let name = escaped(&authority.name);
    let (inner, outer) = (uuid(b"certificate", root), uuid(b"profile", root));
    let content = BASE64.encode(root);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n\
         <key>PayloadType</key><string>Configuration</string>\n\
         <key>PayloadVersion</key><integer>1</integer>\n\
         <key>PayloadIdentifier</key><string>local.lanyard.trust.{name}</string>\n\
         <key>PayloadUUID</key><string>{outer}</string>\n\
         <key>PayloadDisplayName</key><string>Lanyard: {name} only</string>\n\
         <key>PayloadDescription</key><string>Lets browsers trust the Lanyard host {name}, and nothing else. Compare the \
         SHA-256 fingerprint of the certificate with the one that `lanyard trust` prints on the host.</string>\n\
         <key>PayloadOrganization</key><string>Lanyard</string>\n\
         <key>PayloadRemovalDisallowed</key><false/>\n\
         <key>PayloadContent</key>\n<array>\n<dict>\n\
         <key>PayloadType</key><string>com.apple.security.root</string>\n\
         <key>PayloadVersion</key><integer>1</integer>\n\
         <key>PayloadIdentifier</key><string>local.lanyard.trust.{name}.root</string>\n\
         <key>PayloadUUID</key><string>{inner}</string>\n\
         <key>PayloadDisplayName</key><string>Lanyard: {name} only</string>\n\
         <key>PayloadCertificateFileName</key><string>lanyard.crt</string>\n\
         <key>PayloadContent</key><data>{content}</data>\n\
         </dict>\n</array>\n</dict>\n</plist>\n"
    )
}

/// A UUID of content (RFC 9562 §5.8).
fn uuid(label: &[u8], root: &CertificateDer<'_>) -> String {
    let hash = Sha256::new_with_prefix(label).chain_update(root).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(byte, from)| *byte = from);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = HEXUPPER.encode(&bytes);
    let piece = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [piece(0, 8), piece(8, 12), piece(12, 16), piece(16, 20), piece(20, 32)].join("-")
}
