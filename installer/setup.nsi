; setup.nsi: the set-up program, compiled by `cargo xtask package` (xtask/src/package/setup_program.rs), which defines
;   VERSION, FULL_VERSION (four numbers), PUBLISHER, KILOBYTES, FILES (files.nsh), OUTPUT, SIGN (a script that signs a file)
;   and TEST_SIGNED, if the driver is signed with the build's test certificate.
;
; It is a 64-bit program: System32 and the registry are what they are, with no 32-bit view of them. A 32-bit Windows does
; not start it and says so itself; what it starts on but does not support is refused in .onInit. Silent set-up is /S:
;   /D=FOLDER            where to (last, without quotes); an installed version stays where it is
;   /START=auto          load the driver now and at each start of Windows: what is done when nothing is said
;   /START=demand        load it when it is asked for; an upgrade without /START keeps what there was
; It ends with 0, or with one of the codes below. Everything is undone by the uninstaller; the files by their names.

Target amd64-unicode
Unicode true
ManifestSupportedOS all
ManifestDPIAware true
RequestExecutionLevel admin
SetCompressor /SOLID lzma
CRCCheck force
AllowRootDirInstall false

!define EXIT_UNSUPPORTED 10
!define EXIT_NOT_ADMINISTRATOR 11
!define EXIT_NO_DRIVER 12
!define EXIT_NEWER_INSTALLED 13
!define EXIT_WRONG_SWITCH 14
!define EXIT_REBOOT 3010

!define UNINSTALL_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\lklfs"
!define START_MENU "$SMPROGRAMS\lklfs"

!include LogicLib.nsh
!include Sections.nsh
!include WinVer.nsh
!include x64.nsh
!include FileFunc.nsh
!include WordFunc.nsh
!include MUI2.nsh

; What /START says, or nothing.
Var StartSwitch
Var Upgrade

!include "${__FILEDIR__}/path.nsh"
!include "${__FILEDIR__}/driver.nsh"
!include "${FILES}"

Name "lklfs ${VERSION}"
OutFile "${OUTPUT}"
InstallDir "$PROGRAMFILES64\lklfs"
BrandingText "Linux file systems for Windows, read-only"
ShowInstDetails show
ShowUninstDetails show

VIProductVersion "${FULL_VERSION}"
VIFileVersion "${FULL_VERSION}"
VIAddVersionKey "ProductName" "lklfs"
VIAddVersionKey "ProductVersion" "${FULL_VERSION}"
VIAddVersionKey "FileVersion" "${FULL_VERSION}"
VIAddVersionKey "FileDescription" "lklfs set-up"
VIAddVersionKey "CompanyName" "${PUBLISHER}"
VIAddVersionKey "LegalCopyright" "GPL-2.0-only; contains the Linux kernel"

!uninstfinalize 'sh "${SIGN}" "%1"'

!define MUI_ABORTWARNING
!define MUI_WELCOMEPAGE_TITLE "lklfs ${VERSION}"
!ifdef TEST_SIGNED
!define MUI_WELCOMEPAGE_TEXT "lklfs reads Linux volumes: ext2/3/4, btrfs, XFS, F2FS, squashfs, EROFS and others. It never writes to them.$\r$\n$\r$\nThis is a test build. Its driver is signed with a test certificate, and Windows loads it only in test-signing mode, which cannot be switched on while Secure Boot is on. Without the driver there are no drive letters; userctl reads disks and images all the same.$\r$\n$\r$\nThe driver has not been tried on Windows by its makers yet. Do not install it on a computer that you need."
!else
!define MUI_WELCOMEPAGE_TEXT "lklfs reads Linux volumes: ext2/3/4, btrfs, XFS, F2FS, squashfs, EROFS and others. It never writes to them."
!endif
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_COMPONENTS
!define MUI_PAGE_CUSTOMFUNCTION_PRE SkipIfUpgrade
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_TEXT "Open a command prompt and type: userctl --help"
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; Ends with a message, shown unless set-up is silent, and a code.
!macro Refuse code text
  MessageBox MB_OK|MB_ICONSTOP "${text}" /SD IDOK
  SetErrorLevel ${code}
  Quit
!macroend

Function SkipIfUpgrade
  ${If} $Upgrade = 1
    Abort
  ${EndIf}
FunctionEnd

Function .onVerifyInstDir
  ; A semicolon would be two entries of PATH.
  ${WordFind} "$INSTDIR" ";" "#" $0
  ${If} $0 != $INSTDIR
    Abort
  ${EndIf}
FunctionEnd

; Out: $0 is 1 if Windows loads drivers with test signatures.
Function TestSigning
  ; SystemCodeIntegrityInformation: its own length, and options, of which 2 is TESTSIGN.
  StrCpy $0 0
  System::Call '*(i 8, i 0) p .r1'
  System::Call 'ntdll::NtQuerySystemInformation(i 103, p r1, i 8, *i .r3) i .r2'
  ${If} $2 = 0
    System::Call '*$1(i, i .r3)'
    IntOp $3 $3 & 2
    ${If} $3 <> 0
      StrCpy $0 1
    ${EndIf}
  ${EndIf}
  System::Free $1
FunctionEnd

; The parts of an installation that are not files of the payload, gone. Shared by the uninstaller and a failed set-up.
!macro RemoveRest un
  Call ${un}RemoveDriver
  ReadRegStr $R5 HKLM "${UNINSTALL_KEY}" "PathEntry"
  ${If} $R5 != ""
    StrCpy $0 $R5
    Call ${un}PathRemove
  ${EndIf}
  Delete "${START_MENU}\userctl command prompt.lnk"
  Delete "${START_MENU}\Read me.lnk"
  Delete "${START_MENU}\Uninstall lklfs.lnk"
  RMDir "${START_MENU}"
  !insertmacro REMOVE_FILES
  Delete /REBOOTOK "$INSTDIR\uninstall.exe"
  SetOutPath "$TEMP"
  RMDir "$INSTDIR"
  DeleteRegKey HKLM "${UNINSTALL_KEY}"
!macroend

Section "Driver and userctl" SectionMain
  SectionIn RO
  SetOverwrite on
  Call StopDriver
  StrCpy $R6 $0
  ${If} $R6 == "running"
    DetailPrint "The driver is in use: the new one takes over when Windows starts again"
    SetRebootFlag true
  ${EndIf}
  !insertmacro INSTALL_FILES
  SetOutPath "$INSTDIR"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  ; First of all: whatever fails from here on can be uninstalled.
  WriteRegStr HKLM "${UNINSTALL_KEY}" "DisplayName" "lklfs"
  WriteRegStr HKLM "${UNINSTALL_KEY}" "DisplayVersion" "${FULL_VERSION}"
  WriteRegStr HKLM "${UNINSTALL_KEY}" "Publisher" "${PUBLISHER}"
  WriteRegStr HKLM "${UNINSTALL_KEY}" "DisplayIcon" "$INSTDIR\uninstall.exe"
  WriteRegStr HKLM "${UNINSTALL_KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKLM "${UNINSTALL_KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKLM "${UNINSTALL_KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKLM "${UNINSTALL_KEY}" "EstimatedSize" ${KILOBYTES}
  WriteRegDWORD HKLM "${UNINSTALL_KEY}" "NoModify" 1
  WriteRegDWORD HKLM "${UNINSTALL_KEY}" "NoRepair" 1
  ${GetTime} "" "L" $0 $1 $2 $3 $4 $5 $6
  WriteRegStr HKLM "${UNINSTALL_KEY}" "InstallDate" "$2$1$0"

  Call InstallDriver
  ${If} $0 = 0
    ${If} $Upgrade = 0
      !insertmacro RemoveRest ""
    ${EndIf}
    !insertmacro Refuse ${EXIT_NO_DRIVER} "Windows did not install the driver. Windows' own log says why: $WINDIR\INF\setupapi.app.log and $WINDIR\INF\setupapi.dev.log."
  ${EndIf}
  ; Stopped for this, it is started again.
  ${If} $WasRunning = 1
    Call StartDriver
  ${EndIf}

  StrCpy $0 $INSTDIR
  Call PathAdd
  ${If} $9 = 1
    WriteRegStr HKLM "${UNINSTALL_KEY}" "PathEntry" "$INSTDIR"
  ${ElseIf} $9 = -1
    DetailPrint "PATH was left as it is: it has no room for $INSTDIR"
  ${EndIf}

!ifdef TEST_SIGNED
  Call TestSigning
  ${If} $0 = 0
    DetailPrint "Test signing is off: Windows will not load the driver. userctl works without it."
    MessageBox MB_OK|MB_ICONINFORMATION "This build's driver is signed with a test certificate, and test signing is off, so Windows will not load it. userctl reads disks and images without the driver.$\r$\n$\r$\nREADME.txt says what test signing means and how it is switched on." /SD IDOK
  ${EndIf}
!endif
SectionEnd

Section "Start menu" SectionMenu
  CreateDirectory "${START_MENU}"
  SetOutPath "$INSTDIR"
  CreateShortCut "${START_MENU}\userctl command prompt.lnk" "$SYSDIR\cmd.exe" '/k ""$INSTDIR\userctl.exe" --help"'
  CreateShortCut "${START_MENU}\Read me.lnk" "$INSTDIR\README.txt"
  CreateShortCut "${START_MENU}\Uninstall lklfs.lnk" "$INSTDIR\uninstall.exe"
SectionEnd

Section "Start with Windows" SectionStart
SectionEnd

; What the box before says is done, ticked or not.
Section "-start type"
  Call StartType
  ${If} ${SectionIsSelected} ${SectionStart}
  ${AndIf} $0 != ${AUTO_START}
    ; First it is started, then set to start with Windows: if it should stop Windows, it does so once.
    ${If} $R6 != "running"
      Call StartDriver
    ${EndIf}
    StrCpy $0 ${AUTO_START}
    Call SetStartType
  ${ElseIfNot} ${SectionIsSelected} ${SectionStart}
  ${AndIf} $0 = ${AUTO_START}
    ; Any other that an administrator has chosen (disabled, above all) stays.
    StrCpy $0 ${DEMAND_START}
    Call SetStartType
  ${EndIf}
SectionEnd

!insertmacro MUI_FUNCTION_DESCRIPTION_BEGIN
  !insertmacro MUI_DESCRIPTION_TEXT ${SectionMain} "The file-system driver and its command line, in PATH."
  !insertmacro MUI_DESCRIPTION_TEXT ${SectionMenu} "A prompt, the read-me and the uninstaller."
  !insertmacro MUI_DESCRIPTION_TEXT ${SectionStart} "Recommended. Linux disks are there now and after each start of Windows. Otherwise the driver is loaded when userctl mounts something. Safe mode starts without it."
!insertmacro MUI_FUNCTION_DESCRIPTION_END

; After the sections, whose numbers it needs.
Function .onInit
  SetRegView 64
  SetShellVarContext all
  ${IfNot} ${IsNativeAMD64}
    !insertmacro Refuse ${EXIT_UNSUPPORTED} "lklfs is for 64-bit Windows on Intel and AMD processors. This computer has another one (Windows on Arm runs this set-up program, but cannot load the driver)."
  ${EndIf}
  ${IfNot} ${AtLeastWin7}
    !insertmacro Refuse ${EXIT_UNSUPPORTED} "lklfs needs Windows 7 x64 or later."
  ${EndIf}
  System::Call 'shell32::IsUserAnAdmin() i .r0'
  ${If} $0 = 0
    !insertmacro Refuse ${EXIT_NOT_ADMINISTRATOR} "Installing a driver takes administrator rights. Start set-up as an administrator."
  ${EndIf}

  StrCpy $Upgrade 0
  ReadRegStr $0 HKLM "${UNINSTALL_KEY}" "InstallLocation"
  ${If} $0 != ""
    ; A second copy elsewhere would be one that nobody removes.
    StrCpy $INSTDIR $0
    StrCpy $Upgrade 1
  ${EndIf}
  ReadRegStr $0 HKLM "${UNINSTALL_KEY}" "DisplayVersion"
  ${If} $0 != ""
    ${VersionCompare} "$0" "${FULL_VERSION}" $1
    ${If} $1 = 1
      MessageBox MB_YESNO|MB_ICONQUESTION "A newer version ($0) is installed. Replace it by ${FULL_VERSION}?" /SD IDNO IDYES downgrade
      SetErrorLevel ${EXIT_NEWER_INSTALLED}
      Quit
      downgrade:
    ${EndIf}
  ${EndIf}

  StrCpy $StartSwitch ""
  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/START=" $1
  ${IfNot} ${Errors}
    ${If} $1 == "auto"
    ${OrIf} $1 == "demand"
      StrCpy $StartSwitch $1
    ${Else}
      !insertmacro Refuse ${EXIT_WRONG_SWITCH} "/START=$1: it is /START=auto or /START=demand."
    ${EndIf}
  ${EndIf}
  ; The box is ticked, unless the switch or the installed version's choice says otherwise.
  ${If} $StartSwitch == ""
  ${AndIf} $Upgrade = 1
    Call StartType
    ${If} $0 != ${AUTO_START}
      !insertmacro UnselectSection ${SectionStart}
    ${EndIf}
  ${ElseIf} $StartSwitch == "demand"
    !insertmacro UnselectSection ${SectionStart}
  ${EndIf}
FunctionEnd

Function .onInstSuccess
  ${If} ${RebootFlag}
    SetErrorLevel ${EXIT_REBOOT}
  ${EndIf}
FunctionEnd

Function un.onInit
  SetRegView 64
  SetShellVarContext all
  System::Call 'shell32::IsUserAnAdmin() i .r0'
  ${If} $0 = 0
    !insertmacro Refuse ${EXIT_NOT_ADMINISTRATOR} "Removing a driver takes administrator rights."
  ${EndIf}
FunctionEnd

Section "un.lklfs"
  Call un.StopDriver
  ${If} $0 == "running"
    DetailPrint "The driver is in use: it goes when Windows starts again"
    SetRebootFlag true
  ${EndIf}
  !insertmacro RemoveRest "un."
SectionEnd

Function un.onUninstSuccess
  ${If} ${RebootFlag}
    SetErrorLevel ${EXIT_REBOOT}
  ${EndIf}
FunctionEnd
