"""The errors that people read: one sentence that names the object, and the next command.

This list has all of them, with their codes (in `--json` and in the answers of services) and the modules that define
them. An indented class is a subclass of the one above it. A UsageError ends a command with status 2, any other
with 1. test/unit/test_errors.py compares this list with the sources.

    OverlayError                  ERROR               errors
        UsageError                USAGE               errors
            ShapeError            LAB_LINK            lab.shape
            TopologyError         LAB_TOPOLOGY        lab.topology
            CampaignError         MEASURE_CAMPAIGN    measure.fields
        Unusable                  NO_PACKET_FILTER    firewall.backend
        RestError                 SERVER_ERROR        headscale.rest
            ServerBusy            SERVER_BUSY         headscale.rest
            ServerDenied          SERVER_DENIED       headscale.rest
            ServerDown            SERVER_DOWN         headscale.rest
        VersionError              VERSION             headscale.versions
        LabCommandFailed          LAB_COMMAND         lab.host
        ImageFailed               LAB_IMAGE           lab.images
        MachineError              LAB_MACHINE         lab.machines
        LabUnavailable            LAB_UNAVAILABLE     lab.requirements
        NotInTime                 LAB_TIMEOUT         lab.wait
        SampleError               MEASURE_SAMPLE      measure.campaign.sample
        HostLost                  MEASURE_HOST        measure.hosts.process
            Unmeasured            (as its base)       measure.tools.tool
        ProofError                MEASURE_REPORT      measure.report.encryption
        ExtraError                MEASURE_EXTRA       measure.report.figures
        ReportError               MEASURE_REPORT      measure.report.write
        Refused                   (as its base)       membership.outcome
            Forgotten             FORGOTTEN           membership.refusals
        EnrolmentError            ENROLMENT           relays.enrolment
        RelayError                RELAY               relays.relay
        HostError                 REMOTE_HOST         relays.remote_admin
        RemoteHostError           REMOTE_HOST         relays.remote_host
        EnvironmentMissing        NO_ENVIRONMENT      rosenv.envfile
        EnvironmentUnsafe         UNSAFE_ENVIRONMENT  rosenv.envfile
        MasterAbsent              NO_MASTER           rosenv.launch
        StartError                SERVER              server.ports
        RobotError                ROBOT               site.admin
        TeamError                 TEAM                site.admin
        UserError                 USER                site.admin
        BackupError               BACKUP              site.archive
        PolicyError               POLICY              site.policy_applier
            PolicyUnknown         POLICY_UNKNOWN      site.policy_applier
        SiteError                 SITE                site.site
            RelayRuns             (as its base)       site.site
        NoAnswer                  SERVER_NO_ANSWER    system.control_socket
        NotRunning                SERVER_DOWN         system.control_socket
        FileSystemError           FILE_SYSTEM         system.file_system
        AlreadyRunning            ALREADY_RUNNING     system.instance
        IptablesError             IPTABLES            system.iptables
        NftError                  NFT                 system.nft
        Unsafe                    UNSAFE_OWNER        system.ownership
        DaemonRunning             DAEMON_RUNNING      tailscale.daemon
        InvalidAnswer             DAEMON_ERROR        tailscale.fields
        DaemonDenied              NOT_PREPARED        tailscale.localapi
        DaemonError               DAEMON_ERROR        tailscale.localapi
        DaemonMissing             NO_DAEMON           tailscale.localapi
        DaemonTooOld              DAEMON_TOO_OLD      tailscale.localapi
        OtherTailnet              OTHER_TAILNET       tailscale.tailnet
        Unobserved                UNOBSERVED          tailscale.watcher
        BuildFailed               BUILD_FAILED        toolchain.build
        BundleError               TOOLS_FILE          toolchain.bundle
        ToolMissing               TOOL_MISSING        toolchain.find
        CertificateError          CERTIFICATE         trust.certificate
            StoreError            SITE                trust.store
        InvitationError           INVITATION_INVALID  trust.invitation
        ServerError               SERVER_UNREACHABLE  trust.probe
        RotationError             ROTATION            trust.rotation
        ProofFailed               MEASURE_ENCRYPTION  wire.encryption_run

Codes that replace the code of the class:

    BACKUP_DAMAGED      site.archive, site.backup
    BACKUP_FOREIGN      site.archive, site.backup
    BACKUP_VERSION      site.archive
    BAD_ANSWER          trust.probe
    CERT_EXPIRED        trust.ca, trust.certificate, trust.probe
    CLOCK               trust.certificate, trust.invitation, trust.probe
    DERP_CERTIFICATE    relays.derp_certificate
    FAILED              membership.leave, membership.new_identity, membership.refusals
    FILE_SYSTEM         headscale.rest
    INVITATION_EXPIRED  trust.invitation
    INVITATION_MISSING  membership.refusals, trust.invitation_file
    INVITATION_REFUSED  membership.refusals
    INVITATION_SPENT    membership.refusals
    LAB_BROKEN          lab.lab
    LAB_COMMAND         lab.lab_socket
    LAB_CONTROL         lab.lab_socket
    LAB_DNS             lab.dns
    LAB_EXISTS          lab.state
    LAB_HOST            lab.host
    LAB_KERNEL          lab.lab, lab.network
    LAB_LINK            lab.link, lab.link_meter
    LAB_MISSING         lab.state
    LAB_SERVICE         lab.lab
    LAB_STUCK           lab.host
    LAB_TIMEOUT         lab.fleet, lab.lab_socket
    MEASURE_SAMPLE      cli.measure_run
    NOT_JOINED          membership.leave
    NOT_PREPARED        membership.refusals, nodes.services
    NOT_ROOT            cli.shared.needs, system.iptables, system.nft
    NO_ANSWER           tailscale.localapi, tailscale.ping
    NO_INVITATION       site.inviter
    NO_NFT              firewall.backend, system.nft
    NO_ROS              rosenv.roscore, rosenv.runner
    NO_SYSTEMD          cli.shared.needs
    OTHER_TEAM          membership.refusals
    POLICY_UNKNOWN      site.admin
    SITE                cli.server_service
    SITE_DAMAGED        trust.roots, trust.store
    SITE_DENIED         trust.store
    SITE_EXISTS         trust.store
    SITE_FILE           site.last_good
    SITE_MISSING        trust.store
    TIMEOUT             membership.refusals
    WRONG_CA            trust.ca_pin, trust.certificate, trust.probe
    WRONG_NAME          trust.certificate, trust.probe

Internal exceptions; the caller converts them to one of the above:

    Unreachable                                       relays.probe
    JournalFull                                       rosenv.graph_journal
    Invalid                                           system.schema
    ProtocolError                                     tailscale.http_unix
    _Refused                                          trust.invitation_file
    NotPcap                                           wire.capture
"""
from dataclasses import dataclass
from typing import Optional

from ua_overlay.printable import printable_lines


class OverlayError(Exception):
    """An error on which the user can act.

    :param sentence: the problem, with the name of the file, host or robot; no secret, no traceback. Characters that a
        terminal does not show as themselves are escaped: names come from files, servers and other machines.
    :param next_command: the command to type next, or an empty string; escaped, too.
    :param code: a short upper-case word for scripts (`NOT_PREPARED`), as in the .srv files if they have one; by default
        the code of the class.
    """

    code = 'ERROR'
    exit_status = 1

    def __init__(self, sentence: str, next_command: str = '', code: Optional[str] = None) -> None:
        self.sentence = printable_lines(sentence)
        self.next_command = printable_lines(next_command)
        super().__init__(self.sentence)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return _with_next(self.sentence, self.next_command)

    def problem(self) -> 'Problem':
        """Return the error as a value that can be kept and compared."""
        return Problem(self.code, self.sentence, self.next_command)


class UsageError(OverlayError):
    """The command line or a configuration file is invalid."""

    code = 'USAGE'
    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """An OverlayError as a value that can be kept and compared."""

    code: str
    sentence: str
    next_command: str = ''

    def __str__(self) -> str:
        return _with_next(self.sentence, self.next_command)


def _with_next(sentence: str, next_command: str) -> str:
    return '{} Next: {}'.format(sentence, next_command) if next_command else sentence
